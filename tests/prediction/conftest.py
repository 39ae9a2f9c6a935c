import pytest

from keras_resnext.training.folder import SETTINGS_FILE, write_description
from keras_resnext.training.network import build_network
from tests.training.tiny import SETTINGS, shrink, tiny_demo


def leave_trained(folder):
    """What a prediction needs of a run, its weights random."""
    folder.mkdir()
    dataset = tiny_demo("demo")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        model = build_network(SETTINGS, dataset.input_shape, dataset.num_classes)
    model.save_weights(folder / "best.weights.h5")
    model.save(folder / "model.keras")
    (folder / SETTINGS_FILE).write_text(SETTINGS.to_toml())
    write_description(folder, dataset)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return leave_trained(tmp_path_factory.mktemp("runs") / "tiny")
