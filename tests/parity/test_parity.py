"""Every kind of network that timm has, cut short; `python -m tests.parity` takes them whole."""

import numpy as np
import pytest

pytest.importorskip("torch")
from tests.gradients import relative_error
from tests.parity import ours, peers

TIERED = dict(stem_width=32, stem_type="deep_tiered", avg_down=True)
SE = dict(block_args=dict(attn_layer="se"))


@pytest.mark.parametrize(
    ("arguments", "data_format"),
    [
        pytest.param({}, "channels_last", id="32x4d"),
        pytest.param(dict(cardinality=16, base_width=8), "channels_first", id="16x8d"),
        pytest.param(TIERED | dict(stem_type="deep"), "channels_last", id="50d"),
        pytest.param(SE, "channels_last", id="SE"),
        pytest.param(TIERED | SE, "channels_last", id="SE t"),
        pytest.param(TIERED | SE, "channels_first", id="SE t, channels first"),
    ],
)
def test_equals_timm(arguments, data_format):
    network = peers.randomize(peers.small(**dict(cardinality=32, base_width=4) | arguments))
    generator = np.random.default_rng(0)
    images = generator.normal(size=(5, 37, 41, 3)).astype("float32")
    cotangent = generator.normal(size=(5, 10)).astype("float32")
    expected = peers.results(network, images, cotangent)
    with ours.data_format(data_format):
        found = ours.results(ours.with_weights_of(peers.state_dict(network)), images, cotangent)
    errors = {name: relative_error(found[name], expected[name]) for name in expected}
    # An image's input gradient jumps where rounding turns the sign of what a ReLU gets: of the
    # images' gradients, which do not depend on each other, the median's difference counts.
    pairs = zip(found["input gradient"], expected["input gradient"], strict=True)
    errors["input gradient"] = np.median([relative_error(*pair) for pair in pairs])
    assert errors.keys() == {*(f"stage {n}" for n in (1, 2, 3, 4)), "logits", "input gradient"}
    assert max(errors.values()) < 1e-4, errors
