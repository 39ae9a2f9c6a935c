import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.explanation.grad_cam import GradCAM
from keras_resnext.features import feature_extractor, feature_info
from tests.gradients import outputs_and_gradients

SHAPE = (10, 8, 3)
IMAGES = np.random.default_rng(0).standard_normal((3, *SHAPE), np.float32)


def build(shape=SHAPE, **arguments):
    """The same network under every backend, its maps positive in some places and not in others."""
    arguments = dict(cardinality=2, classes=4, classifier_activation=None) | arguments
    network = ResNeXt((1, 1), input_shape=shape, **arguments)
    rng = np.random.default_rng(1)
    for layer in network.layers:
        values = [
            rng.standard_normal(w.shape) / np.sqrt(np.prod(w.shape[:-1])) for w in layer.weights
        ]
        if isinstance(layer, keras.layers.BatchNormalization):
            values[0], values[3] = values[0] + 1, np.exp(values[3] / 4)  # gamma, variance
        layer.set_weights(values)
    return network


@pytest.fixture(scope="module")
def network():
    return build()


def scaled(maps):
    maps = np.maximum(maps, 0)
    return maps / maps.max((1, 2), keepdims=True)


def at_features(heat, stride):
    """The values that maps have before they are brought to the images' size."""
    return heat[:, 0, ::stride, ::stride]


def test_of_the_last_stage_is_cam(network):
    """Zhou et al., CVPR 2016: features weighed by the kernel of the dense layer."""
    maps = GradCAM(network)(IMAGES)
    features = feature_extractor(network, (2,)).predict_on_batch(IMAGES)
    kernel = keras.ops.convert_to_numpy(network.get_layer("predictions").kernel)
    expected = scaled(np.einsum("nijk,kn->nij", features, kernel[:, maps.labels[:, 0]]))
    assert np.count_nonzero(expected, (1, 2)).min() > 1
    assert maps.heat.shape == (3, 1, 10, 8)
    np.testing.assert_allclose(at_features(maps.heat, 2), expected, atol=1e-5)


def test_of_another_stage_by_differences_of_logits(network):
    """A channel's mean gradient is what its rise everywhere at once does to the logit."""
    heat = GradCAM(network, stage=1)(IMAGES[:1], np.array([[3]])).heat
    extractor = feature_extractor(network, (1,))
    (features,) = extractor.predict_on_batch(IMAGES[:1])
    rest = keras.Model(extractor.output, network.output)
    step = 1e-2 * np.eye(features.shape[-1], dtype=np.float32)[:, None, None]
    up, down = (rest.predict(features + sign * step, verbose=0)[:, 3] for sign in (1, -1))
    expected = scaled((features @ (up - down))[None])
    assert 0 < np.count_nonzero(expected) < expected.size
    np.testing.assert_allclose(at_features(heat, 1), expected, atol=0.02)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_heat_lies_where_a_feature_looks(stage):
    """What the feature in the middle sees is as far on all sides of that pixel."""
    network = build((65, 65, 3), stem="imagenet")
    stride = feature_info(network)[stage].stride
    extractor = feature_extractor(network, (stage,))
    cotangent = np.zeros((1, *extractor.output.shape[1:]), np.float32)
    cotangent[:, 32 // stride, 32 // stride] = 1
    images = np.random.default_rng(0).standard_normal((1, 65, 65, 3), np.float32)
    _, (gradient,) = outputs_and_gradients(extractor, cotangent, images)
    seen = np.argwhere(np.abs(gradient[0]).max(-1) > 0)
    np.testing.assert_array_equal((seen.min(0) + seen.max(0)) / 2, 32)


def test_likeliest_classes_each_with_its_map(network):
    probabilities = keras.ops.softmax(network.predict(IMAGES, verbose=0))
    probabilities = keras.ops.convert_to_numpy(probabilities)
    grad_cam = GradCAM(network)
    maps = grad_cam(IMAGES, top=3)
    np.testing.assert_array_equal(maps.labels, np.argsort(-probabilities, 1)[:, :3])
    np.testing.assert_allclose(maps.probabilities, np.sort(probabilities, 1)[:, :0:-1], rtol=1e-4)
    for rank in range(3):
        alone = grad_cam(IMAGES, maps.labels[:, rank : rank + 1])
        np.testing.assert_allclose(maps.heat[:, rank], alone.heat[:, 0], atol=1e-5)
    np.testing.assert_allclose(grad_cam(IMAGES[1:2]).heat[0, 0], maps.heat[1, 0], atol=1e-5)
    assert grad_cam(IMAGES, top=9).labels.shape == (3, 4)


def test_channels_first(network):
    keras.config.set_image_data_format("channels_first")
    try:
        first = build((3, 10, 8))
    finally:
        keras.config.set_image_data_format("channels_last")
    first.set_weights(network.get_weights())
    for stage in (1, 2):
        found = GradCAM(first, stage)(IMAGES.transpose(0, 3, 1, 2))
        expected = GradCAM(network, stage)(IMAGES)
        np.testing.assert_allclose(found.heat, expected.heat, atol=1e-3)


def test_mixed_precision(network):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build()
    finally:
        keras.config.set_dtype_policy("float32")
    labels = np.zeros((3, 1), int)
    found, expected = (GradCAM(n)(IMAGES, labels) for n in (mixed, network))
    np.testing.assert_allclose(found.heat, expected.heat, atol=0.05)


def test_nothing_speaks_for_the_class():
    network = build()
    head = network.get_layer("predictions")
    head.kernel.assign(-keras.ops.abs(head.kernel))
    assert not GradCAM(network)(IMAGES).heat.any()


def test_numbers_that_are_not_finite():
    network = build()
    head = network.get_layer("predictions")
    head.kernel.assign(head.kernel * np.nan)
    with pytest.raises(ArithmeticError, match="not finite; train it anew"):
        GradCAM(network)(IMAGES)


def test_other_networks():
    with pytest.raises(ValueError, match=r"ends in logits, got 'resnext', .* 'predictions'"):
        GradCAM(build(classifier_activation="softmax"))
    with pytest.raises(ValueError, match=r"ends in logits, got 'resnext', .* 'avg_pool'"):
        GradCAM(build(include_top=False, pooling="avg"))
    with pytest.raises(ValueError, match=r"ends in logits, got 'resnext', .* 'stage2_block1_out'"):
        GradCAM(build(include_top=False))
    with pytest.raises(ValueError, match="expected a ResNeXt that keras_resnext built"):
        GradCAM(keras.Sequential([keras.layers.Dense(1)]))
