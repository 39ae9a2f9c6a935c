import json
from pathlib import Path

from keras_resnext.prediction.predictions import Guess, Prediction
from keras_resnext.prediction.tables import as_json, as_text

PREDICTIONS = [
    Prediction(Path("long name.png"), (Guess(3, "tram", 0.75), Guess(0, "bus", 0.25))),
    Prediction(Path("b.png"), (Guess(0, "bus", 1.0), Guess(3, "tram", 0.0))),
]


def test_text():
    assert as_text(PREDICTIONS).splitlines() == [
        "image          class  probability",
        "long name.png  tram        75.00%",
        "               bus         25.00%",
        "b.png          bus        100.00%",
        "               tram         0.00%",
    ]


def test_json():
    values = json.loads(as_json(Path("run"), PREDICTIONS, {Path("c.png"): "damaged"}))
    assert values["source"] == "run"
    assert values["predictions"][0] == {
        "image": "long name.png",
        "top": [
            {"label": 3, "class": "tram", "probability": 0.75},
            {"label": 0, "class": "bus", "probability": 0.25},
        ],
    }
    assert values["unreadable"] == [{"image": "c.png", "reason": "damaged"}]
