"""`GroupedConv2D` and `BatchNorm`, with Keras' own tests of the layers that they stand in for."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_resnext import BatchNorm, GroupedConv2D, backend
from tests.gradients import outputs_and_gradients, relative_error
from tests.peers import keras_tests, no_tests

RNG = np.random.default_rng(0)


def image(*shape):
    return RNG.standard_normal(shape, np.float32)


def with_ours(path, test_case, **ours):
    """A test case that Keras' wheel holds, where `layers` has ours in place of its own.

    Tests of Conv1D and Conv3D are left out: they would test Keras' layers.
    """

    class Layers:
        def __getattr__(self, name):
            return ours.get(name) or getattr(keras.layers, name)

    source = keras_tests(f"layers/{path}")
    if source is None:
        return no_tests()
    module = {"layers": Layers(), "__name__": "keras_tests"}
    source = source.replace("from keras.src import layers\n", "")
    exec(compile(source, path, "exec"), module)
    others = [name for name in vars(module[test_case]) if "conv1d" in name or "conv3d" in name]
    return type(test_case, (module[test_case],), dict.fromkeys(others))


CONV_TESTS = "convolutional/conv_test.py"


class TestKerasConvBasic(with_ours(CONV_TESTS, "ConvBasicTest", Conv2D=GroupedConv2D)):
    pass


class TestKerasConvCorrectness(with_ours(CONV_TESTS, "ConvCorrectnessTest", Conv2D=GroupedConv2D)):
    pass


class TestKerasBatchNormalization(
    with_ours(
        "normalization/batch_normalization_test.py",
        "BatchNormalizationTest",
        BatchNormalization=BatchNorm,
    )
):
    @pytest.fixture(autouse=True)
    def biased_variance(self, monkeypatch):
        """The one difference that the docstring declares is taken back; all else is tested."""
        normalize = backend.native.batch_normalize

        def biased(x, *args):
            out, mean, variance = normalize(x, *args)
            count = ops.cast(math.prod(ops.shape(x)) // mean.shape[0], variance.dtype)
            return out, mean, variance * (count - 1) / count

        monkeypatch.setattr(backend.native, "batch_normalize", biased)


class TestGroupedConv2D:
    def test_config_is_kerass_own_but_for_a_chosen_lowering(self):
        arguments = dict(filters=16, kernel_size=(3, 1), strides=(1, 2), groups=4, name="conv")
        ours = GroupedConv2D(**arguments).get_config()
        assert ours == keras.layers.Conv2D(**arguments).get_config()
        chosen = GroupedConv2D(**arguments, lowering="split").get_config()
        assert GroupedConv2D.from_config(chosen).lowering == "split"

    @pytest.mark.parametrize(
        ("lowering", "message"),
        [
            ("fast", "lowering='fast' is unknown.*'packed'"),
            ("matmul", r"kernel_size is \(3, 3\)"),
        ],
    )
    def test_impossible_lowerings(self, lowering, message):
        with pytest.raises(ValueError, match=message):
            GroupedConv2D(8, 3, lowering=lowering)

    @pytest.mark.skipif(backend.NAME != "tensorflow", reason="reads TensorFlow's graph")
    def test_tensorflow_graph_does_not_need_xla(self):
        """Keras' layer does, which stock TF Serving refuses."""
        import tensorflow as tf

        def functions(layer):
            call = tf.function(layer, input_signature=[tf.TensorSpec((None, 8, 8, 8))])
            return str(call.get_concrete_function().graph.as_graph_def())

        assert "_XlaMustCompile" not in functions(GroupedConv2D(8, 3, groups=4))
        assert "_XlaMustCompile" in functions(keras.layers.Conv2D(8, 3, groups=4))


class TestBatchNorm:
    @pytest.mark.parametrize("axis", [-1, 1, 2])
    def test_equals_kerass_layer_forward_and_backward(self, axis):
        """In training; of NumPy's float64, too, which every layer takes."""
        x, cotangent = image(4, 5, 6, 3) * 2 + 1, image(4, 5, 6, 3)
        layers = BatchNorm(axis=axis), keras.layers.BatchNormalization(axis=axis)
        weights = [RNG.uniform(0.5, 1.5, x.shape[axis]) for _ in range(4)]
        results = []
        for layer in layers:
            layer.build(x.shape)
            layer.set_weights(weights)

            def call(x, layer=layer):
                variables = layer.trainable_variables, layer.non_trainable_variables
                return layer.stateless_call(*variables, x, training=True)[0]

            out, (gradient,) = outputs_and_gradients(call, cotangent, x)
            results.append((out, gradient))
        for ours, theirs in zip(*results, strict=True):
            assert relative_error(ours, theirs) < 1e-5
        doubles = ops.convert_to_numpy(layers[0](x.astype(np.float64), training=True))
        assert relative_error(doubles, results[0][0]) < 1e-5

    @pytest.mark.parametrize("axis", [-1, 1])
    def test_moving_statistics_are_pytorchs(self, axis):
        x = image(2, 3, 4, 5) * 3 + 1
        layer = BatchNorm(axis=axis, momentum=0.9)
        layer(x, training=True)
        others = tuple(a for a in range(4) if a != axis % 4)
        mean, variance = layer.get_weights()[2:]
        np.testing.assert_allclose(mean, 0.1 * x.mean(others), rtol=1e-5)
        np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(others, ddof=1), rtol=1e-5)

    def test_one_value_per_channel(self):
        """Such as an epoch's last image, halved to one pixel; PyTorch itself refuses it."""
        x, layer = image(1, 1, 1, 3), BatchNorm(momentum=0.9)
        out = layer(x, training=True)
        np.testing.assert_allclose(ops.convert_to_numpy(out), np.zeros((1, 1, 1, 3)), atol=1e-5)
        _, _, mean, variance = layer.get_weights()
        np.testing.assert_allclose(mean, 0.1 * x.ravel(), rtol=1e-5)
        np.testing.assert_allclose(variance, [0.9] * 3, rtol=1e-5)

    def test_synchronized_survives_a_round_trip_and_changes_nothing_on_one_device(self):
        """On several devices it is tested with training."""
        x = image(2, 3, 4, 5) * 3 + 1
        plain = BatchNorm()
        layer = BatchNorm.from_config(BatchNorm(synchronized=True).get_config())
        assert layer.synchronized
        outputs = [ops.convert_to_numpy(bn(x, training=True)) for bn in (plain, layer)]
        np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)
        for mine, expected in zip(layer.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-5)

    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
    def test_half_precision_keeps_statistics_wide(self, policy):
        """Rounded to bfloat16, 100 would not move for a batch whose mean is 102."""
        layer = BatchNorm(momentum=0.9, dtype=policy)
        layer.build((None, 8, 8, 1))
        layer.moving_mean.assign([100.0])
        out = layer(np.full((2, 8, 8, 1), 102.0, np.float32), training=True)
        assert keras.backend.standardize_dtype(out.dtype) == layer.compute_dtype
        rtol = 1e-6 if policy.startswith("mixed") else 1e-3
        np.testing.assert_allclose(layer.get_weights()[2], [100.2], rtol=rtol)


def test_weights_files_are_interchangeable_with_keras(tmp_path):
    def build(conv, norm):
        layer = conv(16, 3, padding="same", groups=4, activation="relu", name="conv")
        return keras.Sequential([keras.Input((6, 6, 8)), layer, norm(name="bn")])

    ours = build(GroupedConv2D, BatchNorm)
    theirs = build(keras.layers.Conv2D, keras.layers.BatchNormalization)
    x = image(2, 6, 6, 8)
    for source, target in ((theirs, ours), (ours, theirs)):
        source.set_weights([RNG.uniform(0.5, 1.5, w.shape) for w in source.get_weights()])
        source.save_weights(tmp_path / "x.weights.h5")
        target.load_weights(tmp_path / "x.weights.h5")
        np.testing.assert_allclose(
            ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-4, atol=1e-5
        )
