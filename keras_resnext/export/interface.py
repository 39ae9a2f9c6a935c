"""What a client of an exported network meets: its name, the images it takes, the classes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Interface:
    """What a network takes and gives, in plain data that one process can hand to another.

    Attributes:
        name: of the model on a server.
        height: of an image, in pixels.
        width: of an image, in pixels.
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.
        class_names: by label.
    """

    name: str
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    class_names: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Interface":
        """Read what `write` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        lists = {key: tuple(values[key]) for key in ("mean", "std", "class_names")}
        return cls(**values | lists)
