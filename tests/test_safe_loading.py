"""Files that would run a program or read another file, did anyone trust them."""

import json
import pickle
import struct
import zipfile

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from keras_resnext.commands import evaluate, export
from keras_resnext.commands.predict import main
from keras_resnext.safe import check_model_file
from keras_resnext.training.folder import DATASET_FILE, SETTINGS_FILE
from keras_resnext.weights.loading import read_weights
from tests.data.test_official import crafted  # noqa: F401 - a fixture
from tests.data.test_unpickling import Touch
from tests.prediction.conftest import leave_trained
from tests.training.tiny import shrink


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return leave_trained(tmp_path_factory.mktemp("runs") / "sound")


@pytest.fixture
def run(sound, tmp_path, monkeypatch):
    """A copy of a sound run, to be spoilt."""
    shrink(monkeypatch)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    for path in sound.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def victim(tmp_path):
    """A file that must not come to be."""
    return tmp_path / "made"


@pytest.fixture
def refused(tmp_path, capsys):
    """Predict with a source, which must end in one line of error."""
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")

    def predict(source, *options):
        assert main([str(source), str(tmp_path / "image.png"), *map(str, options)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.strip().splitlines()
        return line

    return predict


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def spoil_config(path, **changes):
    """Describe the ReLU of a model anew."""
    contents = members(path)
    config = json.loads(contents["config.json"])
    layer = next(x for x in config["config"]["layers"] if x["class_name"] == "ReLU")
    layer.update(changes)
    return write_members(path, contents | {"config.json": json.dumps(config)})


def save_lambda(path, victim):
    """Write a model that makes a file when it is loaded by who trusts it."""
    made = str(victim)
    inputs = keras.Input((32, 32, 3))
    touch = keras.layers.Lambda(lambda x: (__import__("pathlib").Path(made).touch(), x)[1])
    outputs = keras.layers.GlobalAveragePooling2D()(touch(inputs))
    keras.Model(inputs, keras.layers.Dense(12)(outputs)).save(path)
    victim.unlink()
    keras.saving.load_model(path, safe_mode=False)
    victim.unlink()  # the file must be one that would have run code


def test_sound_files_are_read(run, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    for name in ("", "model.keras", "best.weights.h5"):
        assert main([str(run / name), str(tmp_path / "image.png")]) == 0


def test_a_model_compiled_with_what_is_not_known_here(tmp_path):
    """Loading does not compile, so that it is no reason to refuse it."""

    def own_loss(y_true, y_pred):
        return keras.ops.mean(y_true - y_pred)

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", loss=own_loss)
    model.save(tmp_path / "a.keras")
    check_model_file(tmp_path / "a.keras")


def test_a_lambda(run, victim, refused):
    save_lambda(run / "model.keras", victim)
    assert "holds Lambda, which can run any program" in refused(run / "model.keras")
    assert not victim.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(module="os", class_name="system", config={"command": "touch made"}), "system of os"),
        (dict(module="subprocess", class_name="Popen", config={"args": "ls"}), "of subprocess"),
        (dict(module="builtins", class_name="__lambda__", config={"value": ""}), "__lambda__"),
        (dict(module="keras.layers", class_name="TFSMLayer", config={}), "holds TFSMLayer"),
        (dict(module="keras.layers", class_name="TorchModuleWrapper", config={}), "TorchModule"),
        (dict(module="kerasy.layers", class_name="ReLU", config={}), "ReLU of kerasy.layers"),
        (dict(module=None, registered_name="Custom>ReLU"), "ReLU of None"),
    ],
)
def test_a_class_from_elsewhere(run, changes, message, refused, victim):
    path = spoil_config(run / "model.keras", **changes)
    line = refused(path)
    assert message in line
    assert "Nothing of it was run" in line
    assert not victim.exists()


@pytest.mark.parametrize("deep", ["config", "build_config", "activity_regularizer"])
def test_a_class_from_elsewhere_however_deep(run, deep, refused):
    hidden = {"x": [[{"class_name": "system", "module": "os", "config": None}]]}
    assert "names system of os" in refused(spoil_config(run / "model.keras", **{deep: hidden}))


@pytest.mark.parametrize("name", ["../made", "/tmp/made", "assets/made", "model.weights.npz"])
def test_more_than_a_model(run, name, refused, victim):
    path = run / "model.keras"
    write_members(path, members(path) | {name: pickle.dumps(Touch(victim))})
    assert "and nothing else, found 'metadata.json', 'config.json'" in refused(path)
    assert not victim.exists()


def test_weights_that_are_pickled(run, refused, victim):
    path = run / "model.keras"
    contents = members(path)
    del contents["model.weights.h5"]
    write_members(path, contents | {"model.weights.npz": pickle.dumps(Touch(victim))})
    assert "found 'metadata.json', 'config.json', 'model.weights.npz'" in refused(path)
    assert not victim.exists()


def test_a_member_that_unpacks_to_more(run, refused):
    path = run / "model.keras"
    contents = members(path)
    bomb = contents | {"config.json": contents["config.json"] + b" " * 1_000_000}
    write_members(path, bomb, zipfile.ZIP_DEFLATED)
    assert "uncompressed, as Keras writes it" in refused(path)


def test_a_member_that_says_it_is_huge(run, refused):
    path = run / "model.keras"
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02", 0, content.rindex(b"config.json"))
    struct.pack_into("<I", content, central + 24, 4_000_000_000)  # size once unpacked
    path.write_bytes(content)
    assert "it would unpack to 4,000,000,000 bytes" in refused(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged or no .keras file"),
        (b"PK\x05\x06" + bytes(18), "found nothing"),
        (b"\x80\x04N.", "is damaged or no .keras file"),
    ],
)
def test_a_file_of_another_kind(run, content, message, refused):
    (run / "model.keras").write_bytes(content)
    assert message in refused(run / "model.keras")


def test_a_layer_that_cannot_be_made(run, refused):
    path = spoil_config(run / "model.keras", config={"threshold": "high", "evil": 1})
    assert "cannot be loaded: " in refused(path)


@pytest.mark.parametrize("command", [evaluate.main, export.main])
def test_every_command_refuses(run, command, capsys):
    spoil_config(run / "model.keras", module="os", class_name="system", config={})
    assert command([str(run / "model.keras")]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "names system of os" in line


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("damaged.h5", "expected a file of PyTorch"),
        ("damaged.keras", "damaged or no .keras file"),
        ("damaged.pth", "expected a file of PyTorch"),
    ],
)
def test_weights_to_begin_with(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("config", ["{", "[" * 100_000])
def test_a_damaged_configuration(run, config, refused):
    path = run / "model.keras"
    write_members(path, members(path) | {"config.json": config})
    assert "is damaged" in refused(path)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "best.weights.h5"])
def test_a_whole_model_in_hdf5(run, name, victim, refused, tmp_path):
    """Its loader has ignored safe mode before (CVE-2025-9905)."""
    save_lambda(tmp_path / "whole.h5", victim)
    (run / name).write_bytes((tmp_path / "whole.h5").read_bytes())
    message = {
        "model.h5": "expected NAME.keras or NAME.weights.h5, got model.h5",
        "model.keras": "is damaged or no .keras file",
        "best.weights.h5": "do not fit resnext11",
    }[name]
    assert message in refused(run / name)
    assert not victim.exists()


def link(file, name, secret):
    file[name] = h5py.ExternalLink(str(secret), "/secret")


def external(file, name, secret):
    file.create_dataset(name, (12,), "float32", external=[(str(secret.with_suffix(".txt")), 0, 48)])


def virtual(file, name, secret):
    layout = h5py.VirtualLayout((12,), "float32")
    layout[:] = h5py.VirtualSource(str(secret), "/secret", (12,))
    file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("name", ["best.weights.h5", "model.keras"])
@pytest.mark.parametrize("point_at", [link, external, virtual])
def test_weights_that_are_in_another_file(run, point_at, name, tmp_path, refused):
    """Whose numbers an export would give away (CVE-2026-1669)."""
    numbers = np.arange(12, dtype=np.float32)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = numbers
    (tmp_path / "secret.txt").write_bytes(numbers.tobytes())
    weights = run / "best.weights.h5"
    with h5py.File(weights, "a") as file:
        bias = "layers/dense/vars/1"
        assert file[bias].shape == (12,)
        del file[bias]
        point_at(file, bias, tmp_path / "secret.h5")
        np.testing.assert_array_equal(file[bias], numbers)  # whoever trusts it reads the other
    if name == "model.keras":
        contents = members(run / name)
        write_members(run / name, contents | {"model.weights.h5": weights.read_bytes()})
    assert "Not allowed: H5 file with" in refused(run / name)


def test_class_names_that_are_pickled(run, victim, refused):
    (run / DATASET_FILE).write_bytes(pickle.dumps(Touch(victim)))
    assert "dataset.json cannot be read" in refused(run)
    assert not victim.exists()


def test_labels_of_a_saved_model_that_are_pickled(tmp_path, victim, refused):
    (tmp_path / "1/assets").mkdir(parents=True)
    (tmp_path / "1/saved_model.pb").touch()
    (tmp_path / "1/assets/labels.txt").write_bytes(pickle.dumps(Touch(victim)))
    assert "expected class names in" in refused(tmp_path / "1")
    assert not victim.exists()


def test_a_data_set_that_is_pickled(run, crafted, refused, monkeypatch):  # noqa: F811
    from keras_resnext.data.cifar100 import load_cifar100

    folder, made, _ = crafted
    monkeypatch.setattr("keras_resnext.data.load", lambda name, *given: load_cifar100(given[0]))
    line = refused(run, "--dataset", "cifar100", "--data-dir", folder)
    assert "is not the official file" in line
    assert "Nothing of it was unpickled" in line
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model = ", "Invalid value"),
        (b"a = 1\na = 2", "Cannot overwrite"),
        (b"evil = 'x'", "unknown settings evil"),
        (b"model = ['resnext11']", "model: expected one of"),
        (b"epochs = 1e99", "epochs: expected a whole number"),
        (b"\x80\x04\xff", "can't decode"),
    ],
)
def test_settings(run, content, message, refused):
    (run / SETTINGS_FILE).write_bytes(content)
    assert message in refused(run)
    alone = run / "alone.toml"
    alone.write_bytes(content)
    assert message in refused(run / "best.weights.h5", "--settings", alone)


def test_settings_that_are_nested_without_end(run, refused):
    (run / SETTINGS_FILE).write_text("a = " + "[" * 100_000)
    assert refused(run).startswith("error: ")
