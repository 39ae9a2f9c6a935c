import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_resnext import ResNeXt, transfer_weights
from tests.gradients import outputs_and_gradients, relative_error

FORMS = ("grouped", "concatenated", "branches")


def build(block, stage_blocks=(1, 1), **arguments):
    return ResNeXt(stage_blocks, block=block, classifier_activation=None, classes=3, **arguments)


def randomise(model, seed):
    """Batch normalisation too: at its initial values it hides a mix-up of branches."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(
                [rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in layer.get_weights()]
            )


def run(model, x, cotangent, training=False):
    """Logits, and gradients of the input and of all trainable weights, joined as in form (c)."""

    def call(x, *weights):
        return model.stateless_call(weights, model.non_trainable_variables, x, training=training)[0]

    weights = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    out, (x_gradient, *gradients) = outputs_and_gradients(call, cotangent, x, *weights)
    whole = build("grouped", **model.arguments)
    holder = keras.models.clone_model(model)
    for variable, gradient in zip(holder.trainable_variables, gradients, strict=True):
        variable.assign(gradient)
    transfer_weights(holder, whole)
    return out, x_gradient, [keras.ops.convert_to_numpy(v) for v in whole.trainable_variables]


@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    cardinality=st.sampled_from([1, 2, 4]),
    base_width=st.sampled_from([1, 4, 5]),
    stage_blocks=st.sampled_from([(1,), (1, 1), (2, 1)]),
    reduce=st.sampled_from(["dense", "grouped"]),
    size=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    training=st.booleans(),
    seed=st.integers(0, 99),
)
def test_forms_are_equal(cardinality, base_width, stage_blocks, reduce, size, training, seed):
    """Figure 3: outputs and every gradient of (a), (b) and (c), strides 1 and 2."""
    keras.backend.clear_session()
    arguments = dict(
        stage_blocks=stage_blocks,
        cardinality=cardinality,
        base_width=base_width,
        reduce=reduce,
        input_shape=(*size, 3),
    )
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, *size, 3), np.float32)
    cotangent = rng.standard_normal((4, 3), np.float32)
    results = {}
    source = None
    for form in FORMS:
        model = build(form, **arguments)
        model.arguments = arguments
        if source is None:
            randomise(model, seed)
            source = model
        else:
            transfer_weights(source, model)
        results[form] = run(model, x, cotangent, training)
    out, x_gradient, gradients = results["grouped"]
    scale = max(np.abs(g).max() for g in gradients)
    for form in FORMS[1:]:
        other_out, other_x_gradient, other_gradients = results[form]
        assert relative_error(other_out, out) < 1e-4
        assert relative_error(other_x_gradient, x_gradient) < 1e-4
        for ours, theirs in zip(other_gradients, gradients, strict=True):
            assert np.abs(ours - theirs).max() / scale < 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back_is_exact(form):
    source, through, back = build("grouped"), build(form), build("grouped")
    randomise(source, 0)
    transfer_weights(source, through)
    transfer_weights(through, back)
    for ours, theirs in zip(back.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_models_that_differ_in_more_are_refused():
    target = build("branches", cardinality=2)
    before = target.get_weights()
    with pytest.raises(ValueError, match="missing: stage2_block1_conv1"):
        transfer_weights(build("grouped", stage_blocks=(1,), cardinality=2), target)
    with pytest.raises(
        ValueError, match=r"differ only in `block`: of another shape: stage1_block1_conv1/kernel"
    ):
        transfer_weights(build("grouped", cardinality=2, base_width=8), target)
    for ours, theirs in zip(target.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
