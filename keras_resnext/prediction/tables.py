"""Predictions as text and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_resnext.prediction.predictions import Prediction


def as_text(predictions: Sequence[Prediction]) -> str:
    """Table for a terminal: a line a guess, the image before its first."""
    guesses = [guess for prediction in predictions for guess in prediction.guesses]
    image_width = max(len("image"), *(len(str(p.path)) for p in predictions))
    class_width = max(len("class"), *(len(guess.name) for guess in guesses))
    lines = [f"{'image':{image_width}}  {'class':{class_width}}  probability"]
    for prediction in predictions:
        title = str(prediction.path)
        for guess in prediction.guesses:
            lines.append(
                f"{title:{image_width}}  {guess.name:{class_width}}  {guess.probability:11.2%}"
            )
            title = ""
    return "\n".join(lines)


def as_json(source: Path, predictions: Sequence[Prediction], unreadable: Mapping[Path, str]) -> str:
    """Everything, the files left out included.

    Args:
        source: of the network.
        predictions: probabilities are 0 to 1.
        unreadable: the reason for each file that is left out.
    """
    values = {
        "source": str(source),
        "predictions": [
            {
                "image": str(prediction.path),
                "top": [
                    {"label": guess.label, "class": guess.name, "probability": guess.probability}
                    for guess in prediction.guesses
                ],
            }
            for prediction in predictions
        ],
        "unreadable": [
            {"image": str(path), "reason": reason} for path, reason in unreadable.items()
        ],
    }
    return json.dumps(values, indent=1) + "\n"
