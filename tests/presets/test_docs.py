"""The committed pages are what `python scripts/presets.py --write docs/presets` writes."""

import re
from pathlib import Path

import pytest

from keras_resnext.presets import PRESETS
from keras_resnext.presets.card import preset_card
from keras_resnext.presets.counts import Counts, count
from keras_resnext.presets.listing import as_page
from tests.presets.peers import timm_multiply_adds, timm_network

DOCS = Path(__file__).parents[2] / "docs" / "presets"
COUNTED = re.compile(
    r"parameters \| ([\d,]+) .*moving statistics \| ([\d,]+) .*multiply-adds an image \| ([\d,]+)",
    re.DOTALL,
)


def read(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def stated(name):
    """What a committed card counts: to count all of them anew takes too long for a test."""
    numbers = COUNTED.search(read(name)).groups()
    return Counts(*(int(number.replace(",", "")) for number in numbers))


def test_no_card_is_missing_or_left_over():
    assert {path.name for path in DOCS.iterdir()} == {f"{name}.md" for name in [*PRESETS, "README"]}


@pytest.mark.parametrize("name", PRESETS)
def test_card_is_up_to_date(name):
    assert read(name) == preset_card(PRESETS[name], stated(name))


def test_table_is_up_to_date():
    assert read("README") == as_page(PRESETS, {name: stated(name) for name in PRESETS})


@pytest.mark.parametrize(
    "name",
    ["resnext50_32x4d.tv2_in1k", "resnext50_32x4d.a1_in1k", "seresnext26t_32x4d.bt_in1k"],
)
def test_counts_are_up_to_date(name):
    assert count(PRESETS[name]) == stated(name)


ONE_OF_EACH_SIZE = {
    (preset.architecture, preset.preprocessing.image_size): name for name, preset in PRESETS.items()
}


@pytest.mark.parametrize("name", ONE_OF_EACH_SIZE.values())
def test_timm_counts_the_same(name):
    preset, counts = PRESETS[name], stated(name)
    network = timm_network(preset.architecture_name)
    assert counts.parameters == sum(weight.numel() for weight in network.parameters())
    assert counts.multiply_adds == timm_multiply_adds(
        preset.architecture_name, preset.preprocessing.image_size
    )
