"""Every kind of network that timm has, cut short; `python -m tests.parity` takes them whole."""

import numpy as np
import pytest

pytest.importorskip("torch")
from tests.parity import ours, peers
from tests.parity.compare import compare

KINDS = {
    "32x4d": {},
    "32x8d": dict(base_width=8),
    "64x4d": dict(cardinality=64),
    "50d": dict(stem_width=32, stem_type="deep", avg_down=True),
    "SE": dict(block_args=dict(attn_layer="se")),
    "SE t": dict(
        stem_width=32, stem_type="deep_tiered", avg_down=True, block_args=dict(attn_layer="se")
    ),
}
FORMATS = [(kind, "channels_last") for kind in KINDS]
FORMATS += [(kind, "channels_first") for kind in ("32x4d", "SE t")]
BOUND = 1e-4


@pytest.mark.parametrize(("kind", "data_format"), FORMATS)
def test_equals_timm(kind, data_format):
    arguments = dict(cardinality=32, base_width=4) | KINDS[kind]
    network = peers.randomize(peers.small(**arguments))
    generator = np.random.default_rng(0)
    images = generator.normal(size=(5, 37, 41, 3)).astype("float32")
    cotangent = generator.normal(size=(5, 10)).astype("float32")
    expected = peers.results(network, images, cotangent)
    with ours.data_format(data_format):
        found = ours.results(ours.with_weights_of(peers.state_dict(network)), images, cotangent)
    errors = compare(found, expected)
    assert errors.keys() == {*(f"stage {n}" for n in (1, 2, 3, 4)), "logits", "input gradient"}
    assert max(errors.values()) < BOUND, errors
