from keras_resnext.presets import PRESETS
from keras_resnext.presets.counts import Counts
from keras_resnext.presets.listing import as_page, as_text

NAMES = ("resnext50_32x4d.tv2_in1k", "resnext101_32x48d.fb_wsl_ig1b_ft_in1k")
SOME = {name: PRESETS[name] for name in NAMES}


def test_text_has_a_line_a_preset():
    head, first, second = as_text(SOME).splitlines()
    assert head.split() == ["weights", "input", "top-1", "top-5", "licence"]
    assert first.split() == [NAMES[0], "224", "81.198", "95.34", "BSD-3-Clause", "imagenet"]
    assert second.split() == [NAMES[1], "224", "85.4", "97.6", "CC-BY-NC-4.0"]


def test_page_links_to_the_cards_and_tells_the_size():
    counts = {NAMES[0]: Counts(25_028_904, 1, 4_230_479_872), NAMES[1]: Counts(828_411_176, 1, 10)}
    first, second = as_page(SOME, counts).splitlines()[-2:]
    assert first == (
        "| [resnext50_32x4d.tv2_in1k](resnext50_32x4d.tv2_in1k.md) | 224 | 81.198 | 95.34 | 25.0 | "
        "4.23 | BSD-3-Clause | *imagenet* |"
    )
    assert "| 828.4 | 0.00 | CC-BY-NC-4.0 |" in second
