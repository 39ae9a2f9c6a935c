import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt, backend, rematerialize


def trained(images, labels, *, top, apart):
    """A network after three steps, and the losses of these."""
    keras.utils.set_random_seed(1)
    shape = images.shape[1:]
    network = ResNeXt((1, 2), 2, 8, stem="cifar", input_shape=shape, classes=5, include_top=top)
    if apart:
        rematerialize(network)
    if not top:
        head = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, "softmax")
        network = keras.Sequential([keras.Input(shape), network, *head])
    network.compile(keras.optimizers.SGD(0.05, 0.9), "sparse_categorical_crossentropy")
    losses = [network.train_on_batch(images, labels) for _ in range(3)]
    return losses, network.get_weights(), network.predict_on_batch(images)


@pytest.mark.parametrize("top", [True, False])
def test_trains_the_same_and_each_block_is_computed_again(top, monkeypatch):
    recompute, again = backend.native.recompute, []

    def counted(function):
        again.append(function)
        return recompute(function)

    monkeypatch.setattr(backend.native, "recompute", counted)
    random = np.random.default_rng(0)
    batch = random.random((10, 16, 16, 3), np.float32), np.arange(10) % 5
    kept, apart = (trained(*batch, top=top, apart=apart) for apart in (False, True))
    assert len(again) % 4 == 0  # the stem and three blocks, by step or by trace
    assert again
    for one, other in zip(keras.tree.flatten(kept), keras.tree.flatten(apart), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


def test_another_model():
    with pytest.raises(ValueError, match="expected a ResNeXt that keras_resnext built"):
        rematerialize(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
