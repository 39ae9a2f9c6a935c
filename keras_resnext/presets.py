"""Published weights: one table."""

from dataclasses import dataclass

from keras_resnext.architecture import Architecture
from keras_resnext.preprocessing import Preprocessing


@dataclass(frozen=True)
class Preset:
    """Published weights, and all that is needed to use them as they were meant.

    Attributes:
        name: `ARCHITECTURE.TAG`, as timm names them.
        architecture: that they fit.
        url: from where the publisher serves them.
        digest: what the publisher states of the file: `"sha256:"` or `"md5:"` and hexadecimal
            digits, the first ones at least; None where nothing is stated.
        licence: of the weights, as an SPDX identifier.
        source: URL of the publisher's page.
        preprocessing: that their accuracy was measured with.
        top1: published ImageNet-1k validation accuracy, in percent; None: none is published.
        top5: the same, in five guesses.
        accuracy_source: URL of the page that states them.
        classes: outputs of the classifier.
    """

    name: str
    architecture: Architecture
    url: str
    digest: str | None
    licence: str
    source: str
    preprocessing: Preprocessing
    top1: float | None
    top5: float | None
    accuracy_source: str
    classes: int = 1000


PRESETS: dict[str, Preset] = {}
