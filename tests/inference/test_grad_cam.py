import keras
import numpy as np
import pytest
from PIL import Image

from keras_resnext import ResNeXt, feature_extractor, feature_info
from keras_resnext.accelerate import accelerate
from keras_resnext.inference import GradCAM, explain
from keras_resnext.preprocessing import Preprocessing
from tests.gradients import outputs_and_gradients

SHAPE = (10, 8, 3)
IMAGES = np.random.default_rng(0).standard_normal((3, *SHAPE), np.float32)


def build(shape=SHAPE, **arguments):
    """A ResNeXt whose Grad-CAM maps are positive in some places and not in others."""
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


def around(network, activation="softmax"):
    """A user's model around a network with top: nested, augmentation in front, softmax behind."""
    layers = [keras.Input(SHAPE), keras.layers.RandomFlip(), network, keras.layers.Dropout(0.3)]
    layers += [keras.layers.Activation(activation)] if activation else []
    return keras.Sequential(layers)


@pytest.fixture(scope="module")
def network():
    return build()


@pytest.fixture(scope="module")
def maps(network):
    return GradCAM(network)(IMAGES, top=3)


def scaled(maps):
    maps = np.maximum(maps, 0)
    return maps / maps.max((1, 2), keepdims=True)


def test_of_the_last_stage_is_cam(network, maps):
    """Zhou et al., CVPR 2016: features weighed by the kernel of the dense layer."""
    features = feature_extractor(network, (2,)).predict_on_batch(IMAGES)
    kernel = keras.ops.convert_to_numpy(network.get_layer("predictions").kernel)
    expected = scaled(np.einsum("nijk,kn->nij", features, kernel[:, maps.labels[:, 0]]))
    assert np.count_nonzero(expected, (1, 2)).min() > 1
    assert maps.heat.shape == (3, 3, 10, 8)
    np.testing.assert_allclose(maps.heat[:, 0, ::2, ::2], expected, atol=1e-5)


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
    np.testing.assert_allclose(heat[:, 0], expected, atol=0.02)


def test_heat_lies_where_a_feature_looks():
    """What the feature in the middle sees is as far on all sides of that pixel."""
    network = build((65, 65, 3), stem="imagenet")
    stride = feature_info(network)[-1].stride
    extractor = feature_extractor(network, (2,))
    cotangent = np.zeros((1, *extractor.output.shape[1:]), np.float32)
    cotangent[:, 32 // stride, 32 // stride] = 1
    images = np.random.default_rng(0).standard_normal((1, 65, 65, 3), np.float32)
    _, (gradient,) = outputs_and_gradients(extractor, cotangent, images)
    seen = np.argwhere(np.abs(gradient[0]).max(-1) > 0)
    np.testing.assert_array_equal((seen.min(0) + seen.max(0)) / 2, 32)


def test_most_likely_classes_each_with_its_map(network, maps):
    probabilities = keras.ops.convert_to_numpy(
        keras.ops.softmax(network.predict(IMAGES, verbose=0))
    )
    np.testing.assert_array_equal(maps.labels, np.argsort(-probabilities, 1)[:, :3])
    np.testing.assert_allclose(maps.probabilities, np.sort(probabilities, 1)[:, :0:-1], rtol=1e-4)
    grad_cam = GradCAM(network)
    alone = grad_cam(IMAGES[1:2], maps.labels[1:2, 2:])
    np.testing.assert_allclose(maps.heat[1, 2], alone.heat[0, 0], atol=1e-5)
    assert grad_cam(IMAGES, top=9).labels.shape == (3, 4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: build(classifier_activation="softmax"),
        lambda network: around(network, None),
        lambda network: keras.Sequential([keras.Input(SHAPE), around(network)]),
        lambda network: accelerate(around(network)),
    ],
    ids=["softmax", "nested logits", "nested twice", "accelerated"],
)
def test_softmax_and_nested_models_give_the_maps_of_the_logits(network, maps, wrap):
    found = GradCAM(wrap(network))(IMAGES, top=3)
    np.testing.assert_array_equal(found.labels, maps.labels)
    np.testing.assert_allclose(found.probabilities, maps.probabilities, rtol=1e-4)
    np.testing.assert_allclose(found.heat, maps.heat, atol=1e-4)


def test_of_a_resized_image_the_map_covers_the_original(network, maps):
    """Twice as large: each of its features lies on twice as many pixels."""
    outer = keras.Input((20, 16, 3))
    pooled = keras.layers.AveragePooling2D(2)(outer)
    images = np.kron(IMAGES, np.ones((1, 2, 2, 1), np.float32))
    found = GradCAM(keras.Model(outer, network(pooled)))(images).heat
    np.testing.assert_allclose(found[:, 0, ::2, ::2], maps.heat[:, 0], atol=1e-4)


@pytest.mark.usefixtures("channels_first")
def test_channels_first(network):
    first = build((3, 10, 8))
    first.set_weights(network.get_weights())
    for stage in (1, 2):
        found, expected = GradCAM(first, stage)(IMAGES), GradCAM(network, stage)(IMAGES)
        np.testing.assert_allclose(found.heat, expected.heat, atol=1e-3)


def test_no_feature_raises_the_logit_or_it_is_not_finite():
    network = build()
    kernel = network.get_layer("predictions").kernel
    kernel.assign(-keras.ops.abs(kernel))
    assert not GradCAM(network)(IMAGES).heat.any()
    kernel.assign(kernel * np.nan)
    with pytest.raises(ArithmeticError, match="not finite; retrain it"):
        GradCAM(network)(IMAGES)


def test_what_it_needs_is_said(network):
    pool, dense = keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)
    other = keras.Sequential([keras.Input((8, 8, 3)), pool, dense])
    with pytest.raises(ValueError, match=r"model: expected a ResNeXt .* got 'sequential"):
        GradCAM(other)
    with pytest.raises(ValueError, match=r"stage: expected 0 \(the stem\) to 2, got 3"):
        GradCAM(network, 3)
    with pytest.raises(ValueError, match="images of any size; give GradCAM a Preprocessing"):
        next(explain(GradCAM(build((None, None, 3))), []))
    stages = feature_extractor(build(include_top=False), (1, 2))
    pooled = keras.layers.Concatenate()(list(map(keras.ops.max, stages.outputs, [(1, 2)] * 2)))
    several = keras.Model(stages.input, keras.layers.Dense(2)(pooled))
    assert GradCAM(several, 1)(IMAGES).heat.shape == (3, 1, *SHAPE[:2])
    with pytest.raises(
        ValueError, match="takes features of earlier stages, too; expected one below"
    ):
        GradCAM(several)
    with pytest.raises(ValueError, match=r"expected a classifier of .* RGB images"):
        GradCAM(build((8, 8, 3), include_top=False))
    for labels in (np.arange(3), [[0], [1]], [[0], [1], [4]]):
        with pytest.raises(ValueError, match=r"labels: expected \(3, K\) numbers below 4, K per"):
            GradCAM(network)(IMAGES, labels)


def test_explains_files_in_batches(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    size = Preprocessing(8, 8, mean=(100, 110, 120), std=(50, 50, 50))
    grad_cam = GradCAM(build((8, 8, 3)), class_names=tuple("abcd"), preprocessing=size)
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    paths[1].write_bytes(b"no image")
    batches = list(explain(grad_cam, paths, ["d", "b"], batch_size=2))
    assert [path for batch in batches for path in batch.unreadable] == [paths[1]]
    found = [explained for batch in batches for explained in batch.predictions]
    assert [explained.path for explained in found] == [paths[0], *paths[2:]]
    for explained, index in zip(found, (0, 2, 3), strict=True):
        assert [guess.name for guess in explained.guesses] == ["d", "b"]
        np.testing.assert_array_equal(explained.image, images[index])
        alone = grad_cam(images[index : index + 1], np.array([[3, 1]]))
        np.testing.assert_allclose(explained.heat, alone.heat[0], atol=1e-4)
    (batch,) = explain(grad_cam, paths[:1], top=2)
    assert len(batch.predictions[0].heat) == 2
    with pytest.raises(ValueError, match="classes: expected some of the network's 4, such as a, b"):
        next(explain(grad_cam, paths, ["zebra"]))
