"""What a client of an exported network meets: its name, the images it takes, the classes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from keras_resnext.preprocessing import Preprocessing

PREPROCESSING_FILE = "preprocessing.json"


def write_preprocessing(folder: Path, preprocessing: Preprocessing) -> None:
    """Write `preprocessing.json`: what a client does to an image of any size, or leaves to us."""
    text = json.dumps(asdict(preprocessing), indent=2) + "\n"
    (folder / PREPROCESSING_FILE).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Interface:
    """What a network takes and gives, in plain data that one process can hand to another.

    Attributes:
        name: of the model on a server.
        preprocessing: of the images, all of it within an exported SavedModel.
        class_names: by label.
    """

    name: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Interface":
        """Read what `write` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        preprocessing = Preprocessing.from_dict(values["preprocessing"])
        return cls(values["name"], preprocessing, tuple(values["class_names"]))
