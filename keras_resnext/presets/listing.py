"""All published weights in one table."""

from collections.abc import Mapping

from keras_resnext.presets.counts import Counts
from keras_resnext.presets.find import is_recommended
from keras_resnext.presets.preset import Preset

INTRODUCTION = """# Published weights

`keras_resnext.from_preset(NAME)` builds the network and loads the weights, and `weights=NAME`, or \
the part of the name after the dot, loads them into a network that fits. `weights="imagenet"` \
stands for the set marked *imagenet*.

They are their publishers' own and are downloaded from there. Accuracy is top-1 and top-5 in \
percent on the validation images of ImageNet-1k, as published; parameters and multiply-adds are \
counted from the graph. **CC-BY-NC-4.0 forbids commercial use**; such sets load by name only.

`python scripts/presets.py --write docs/presets` writes this page and the card of each set.
"""


def as_page(presets: Mapping[str, Preset], counts: Mapping[str, Counts]) -> str:
    """The page that lists them, in Markdown, with links to their cards."""
    lines = [
        "| weights | input | top-1 | top-5 | parameters, M | multiply-adds, G | licence | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, preset in presets.items():
        *typed, licence, mark = columns(preset)
        size = counts[name]
        cells = [
            f"[{name}]({name}.md)",
            *typed,
            f"{size.parameters / 1e6:.1f}",
            f"{size.multiply_adds / 1e9:.2f}",
            licence,
            f"*{mark}*" if mark else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([INTRODUCTION, *lines]) + "\n"


def as_text(presets: Mapping[str, Preset]) -> str:
    """Table for a terminal, of what needs no counting."""
    width = max(map(len, presets))
    lines = [f"{'weights':{width}}  input    top-1    top-5  licence"]
    for name, preset in presets.items():
        size, top1, top5, licence, mark = columns(preset)
        line = f"{name:{width}}  {size:>5}  {top1:>7}  {top5:>7}  {licence:12}  {mark}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def columns(preset: Preset) -> tuple[str, str, str, str, str]:
    """Input size, top-1, top-5, licence, and "imagenet" where it is what that stands for."""
    return (
        str(preset.preprocessing.image_size),
        "" if preset.top1 is None else f"{preset.top1}",
        "" if preset.top5 is None else f"{preset.top5}",
        preset.licence,
        "imagenet" if is_recommended(preset) else "",
    )
