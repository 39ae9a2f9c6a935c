"""What is known of one set of published weights."""

from dataclasses import dataclass

from keras_resnext.architecture import Architecture
from keras_resnext.preprocessing import Preprocessing


@dataclass(frozen=True)
class Preset:
    """Published weights, and all that is needed to use them as they were meant.

    Attributes:
        name: `ARCHITECTURE.TAG`, as timm names them.
        architecture: that they fit.
        training: what they were trained on, and how.
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
    training: str
    url: str
    digest: str | None
    licence: str
    source: str
    preprocessing: Preprocessing
    top1: float | None
    top5: float | None
    accuracy_source: str
    classes: int = 1000

    @property
    def architecture_name(self) -> str:
        """The name's first part, such as `"resnext50_32x4d"`."""
        return self.name.partition(".")[0]

    @property
    def tag(self) -> str:
        """The name's second part, such as `"a1_in1k"`."""
        return self.name.partition(".")[2]

    @property
    def commercial_use(self) -> bool:
        """Whether the licence allows it."""
        return "-NC-" not in self.licence
