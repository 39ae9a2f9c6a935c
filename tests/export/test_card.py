import pytest

from keras_resnext import ResNeXt
from keras_resnext.export.card import model_card
from keras_resnext.export.interface import Interface
from keras_resnext.training.trained import Trained


@pytest.mark.parametrize(
    ("file", "accuracy"),
    [
        ("best.weights.h5", "87.50% top-1 and 96.25% top-5"),
        ("model.keras", "87.50% top-1 and 96.25% top-5"),
        ("last.weights.h5", "85.00% top-1 and 95.00% top-5"),
        ("other.keras", "Not known"),
    ],
)
def test_tells_the_accuracy_of_these_very_weights(run, dataset, file, accuracy):
    interface = Interface("mine", dataset.preprocessing, dataset.class_names)
    network = ResNeXt((1,), cardinality=1, classes=12)
    card = model_card(
        Trained(run / file, None, run), dataset, interface, network, {"logits": 1e-6}, "command"
    )
    assert accuracy in card
    assert f"{network.count_params():,} parameters, 12 classes" in card
