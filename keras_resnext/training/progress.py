"""How far a run has come, apart from the weights."""

import dataclasses
import json
from dataclasses import dataclass, field

Row = dict[str, float]


@dataclass
class Progress:
    """What a checkpoint must hold beside weights and optimizer state.

    Nothing else is needed to go on exactly: the order and augmentation of the data are a pure
    function of (seed, epoch, step), the learning rate of the optimizer's step count, and the
    networks have no random layers.

    Attributes:
        epoch: epochs finished.
        step: steps done in the epoch under way.
        best_epoch: epoch of the best validation accuracy, counted from 1; 0: none yet.
        best_accuracy: that accuracy.
        history: one row an epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy,
            learning_rate (as the epoch ends), seconds (validation included; of a resumed epoch
            only the rest). Accuracies are fractions, 0 to 1.
        metrics: state of the running loss and accuracy of the epoch under way.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    history: list[Row] = field(default_factory=list)
    metrics: list[float] = field(default_factory=list)

    def to_json(self) -> str:
        """Write as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Progress":
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))
