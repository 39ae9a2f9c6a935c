from keras_resnext.benchmark.serving import pytorch_network


def test_peer_is_torchvisions_network():
    trainable = sum(parameter.numel() for parameter in pytorch_network().parameters())
    assert trainable == 25_028_904  # of torchvision's resnext50_32x4d
