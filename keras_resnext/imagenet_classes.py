"""The 1000 classes of ImageNet-1k (Russakovsky et al., 2015) by label, from `imagenet_classes.txt`.

Ids and names are those of Keras' `imagenet_class_index.json`.
"""

from collections import Counter
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class ImageNetClass(NamedTuple):
    """A class.

    Attributes:
        wordnet_id: of its noun in WordNet 3.0, such as `"n01440764"`, the name of its folder in
            ImageNet.
        name: first word for it, such as `"tench"`; two words stand for two classes each.
    """

    wordnet_id: str
    name: str


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """List the classes, by label."""
    text = files("keras_resnext").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(ImageNetClass(*line.split()) for line in text.splitlines())


def imagenet_class_names() -> tuple[str, ...]:
    """Names by label, each once: where two classes share a name, the id follows."""
    shared = Counter(name for _, name in imagenet_classes())
    return tuple(
        name if shared[name] == 1 else f"{name}_{wordnet_id}"
        for wordnet_id, name in imagenet_classes()
    )
