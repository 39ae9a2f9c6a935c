import keras
import numpy as np
import pytest

from keras_resnext.evaluation import evaluate
from keras_resnext.evaluation.report import report


def test_counts(animals, scores):
    result = report(scores, animals.test, animals, "test")
    assert result.samples == 8
    assert result.top1 == 4 / 8
    assert result.top5 == 6 / 8
    assert result.superclass == 6 / 8
    np.testing.assert_array_equal(result.class_samples, [2, 0, 1, 1, 1, 1, 2])
    np.testing.assert_array_equal(result.class_accuracy, [0.5, np.nan, 1, 0, 1, 0, 0.5])
    np.testing.assert_array_equal(result.superclass_samples, [3, 5])
    np.testing.assert_allclose(result.superclass_accuracy, [2 / 3, 2 / 5])
    assert result.confusion[0].tolist() == [1, 0, 1, 0, 0, 0, 0]


def classifier(classes):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(classes)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)


def test_evaluates_a_model(animals):
    model = classifier(7)
    model.layers[-1].set_weights([np.zeros((192, 7)), np.eye(7)[2]])  # always class 2
    result = evaluate(model, animals, "test", batch_size=3)
    assert result.top1 == 1 / 8
    np.testing.assert_array_equal(result.confusion[:, 2], result.class_samples)


def test_refuses_other_classes_and_splits(animals):
    with pytest.raises(ValueError, match=r"expected 7 classes, those of animals, got .* with 10"):
        evaluate(classifier(10), animals)
    with pytest.raises(ValueError, match="split: expected one of train, validation, test"):
        evaluate(classifier(7), animals, "tests")
