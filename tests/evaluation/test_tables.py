import csv
import io
import json

import pytest

from keras_resnext.evaluation.report import report
from keras_resnext.evaluation.tables import as_csv, as_json, as_text


@pytest.fixture
def result(animals, scores):
    return report(scores, animals.test, animals, "test")


def test_text(result):
    lines = [line.split() for line in as_text(result).splitlines()]
    assert ["top-1", "accuracy", "50.00%"] in lines
    assert ["lower", "3", "66.67%"] in lines
    assert ["a", "2", "50.00%", "c", "(1)"] in lines
    assert ["b", "0", "no", "-"] in lines


def test_csv(result):
    rows = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert [row["class"] for row in rows] == list("abcdefg")
    assert rows[0]["superclass"] == "lower"
    assert rows[1]["accuracy"] == ""


def test_json(result):
    values = json.loads(as_json(result))
    assert values["top5"] == 0.75
    assert values["classes"][1]["accuracy"] is None
    assert values["confusion"] == result.confusion.tolist()
