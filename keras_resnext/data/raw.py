"""What any source of CIFAR-100 gives, before order and split are made."""

from dataclasses import dataclass

from keras_resnext.data.dataset import Split


@dataclass(frozen=True)
class Raw:
    """All samples, in the order of the source, and the names by label."""

    train: Split
    test: Split
    class_names: tuple[str, ...]
    superclass_names: tuple[str, ...]
