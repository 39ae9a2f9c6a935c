"""Files that would run a program, read another file or fill the memory, did anyone trust them."""

import argparse
import collections
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_resnext import preprocess_input
from keras_resnext.weights.files import read_weights
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.naming import to_torch
from tests.weights import old_networks
from tests.weights.test_checkpoint import network


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A model around a ResNeXt, as a user builds and trains it, with a compiled model inside."""
    backbone = network(include_top=False, pooling="avg", block="branches", squeeze_excitation=True)
    backbone.compile("sgd", "mse")
    x = image = keras.Input((40, 40, 3))
    x = backbone(preprocess_input(layers.RandomFlip("horizontal")(x)))
    x = ops.relu(layers.Dropout(0.3)(x)) * 2
    x = layers.Dense(4, activation="softmax", kernel_regularizer="l2")(x)
    model = keras.Model(image, x)
    model.compile("adam", "sparse_categorical_crossentropy")
    path = tmp_path_factory.mktemp("models") / "model.keras"
    model.save(path)
    return path


@pytest.fixture
def model_file(sound, tmp_path):
    return Path(shutil.copy(sound, tmp_path))


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def refused(read, path):
    with pytest.raises(ValueError, match=r"\w") as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 1
    assert path.name in str(caught.value)
    return str(caught.value)


def test_archives_that_are_not_by_keras(model_file, tmp_path):
    contents = members(model_file)
    victim = tmp_path / "made"
    for name in ("../made", "/tmp/made", "assets/made", "model.weights.npz", "config.json"):
        write_members(model_file, contents | {name: pickle.dumps(Touch(victim))})
        assert read_weights(model_file).classes is None
    write_members(model_file, contents, zipfile.ZIP_DEFLATED)
    assert "is compressed, which Keras does not do" in refused(read_weights, model_file)
    for content in (b"", b"PK\x05\x06" + bytes(18), b"\x80\x04N.", b"PK\x03\x04" + bytes(1000)):
        model_file.write_bytes(content)
        refused(read_weights, model_file)
    assert not victim.exists()


def external(file, name, secret):
    file.create_dataset(name, (64,), "float32", external=[(str(secret), 0, 256)])


def virtual(file, name, secret):
    file.create_virtual_dataset(name, h5py.VirtualLayout((64,), "float32"))


def linked(make):
    return lambda file, name, secret: file.__setitem__(name, make(file, str(secret)))


def made(*arguments, **options):
    return lambda file, name, secret: file.create_dataset(name, *arguments, **options)


HDF5 = {
    "link": (linked(lambda file, secret: h5py.ExternalLink(secret, "/secret")), "is a link; expec"),
    "soft": (linked(lambda file, secret: h5py.SoftLink("/layers")), "is a link; expected plain"),
    "hard": (linked(lambda file, secret: file["layers"]), "again; expected plain data"),
    "external": (external, "lies in another file, which was not read"),
    "virtual": (virtual, "lies in another file, which was not read"),
    "huge": (made((2**40,), "float32", chunks=(2**20,)), "declares 1,099,5"),
    "compressed": (made(data=np.zeros(2**24, "f4"), compression="gzip"), "elements in"),
    "flat": (made(data=np.zeros((7, 7))), "no ResNeXt of keras_resnext: stem_conv/0 (7, 7), expec"),
    "scalar": (made(data=np.float32(0)), "no ResNeXt of keras_resnext: stem_conv/0 ();"),
    "opaque": (made(data=np.zeros(64, "V3")), "is of dtype void24; convert it to float32 first"),
    "complex": (made(data=np.zeros(64, "complex64")), "is of dtype complex64; expected numbers"),
    "texts": (made(data=["a", "b"]), "is of dtype object; expected numbers"),
    "group": (
        lambda file, name, secret: file.create_group(name),
        "holds other things than weights by number",
    ),
    "control": (
        lambda file, name, secret: file.create_dataset(f"{name}\x1b[2J", data=np.zeros(64)),
        r"0\x1b[2J' is not printable text",
    ),
    "bytes": (
        lambda file, name, secret: file.create_group(b"\xff"),
        r"the name 'b'\xff'' is not printable text",
    ),
}


def is_stem(name, item):
    return f"{name}/0" if item.attrs.get("name") == "stem_conv" else None


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("kind", HDF5)
def test_hdf5_that_is_not_plain(kind, suffix, tmp_path, model_file):
    """Whose numbers an export would give away (CVE-2026-1669), or which fill the memory."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = np.arange(64, dtype=np.float32)
    weights = tmp_path / "model.weights.h5"
    weights.write_bytes(members(model_file)["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        name = file.visititems(is_stem)
        del file[name]
        HDF5[kind][0](file, name, tmp_path / "secret.h5")
    if suffix == ".keras":
        write_members(model_file, members(model_file) | {"model.weights.h5": weights.read_bytes()})
        weights = model_file
    assert HDF5[kind][1] in refused(read_weights, weights)


def test_hdf5_as_keras_2_wrote_it(tmp_path):
    path = tmp_path / "a.h5"
    network().save(path)
    assert "as Keras 2 had it; save the model as NAME.keras" in refused(read_weights, path)


@pytest.mark.parametrize("layer", ["conv1", "conv3"])
def test_branches_that_do_not_fit_together(layer, tmp_path):
    model, path = network(block="branches"), tmp_path / "a.weights.h5"
    model.save_weights(path)
    wanted = f"stage1_block1_branch2_{layer}"
    with h5py.File(path, "a") as file:
        name = file.visititems(lambda n, item: n if item.attrs.get("name") == wanted else None)
        del file[name]["0"]
        file[name]["0"] = np.zeros(64, "f4")
    assert "holds no ResNeXt of keras_resnext: " in refused(read_weights, path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; download it again"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (b"\x1f\x8b\x08", "is a packed archive"),
        (b"GIF89a", "begins with b'GIF89a'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "damaged, or no file by Keras 3"),
        (b"\xff" * 8 + b"{" + bytes(100), "damaged or incomplete"),
    ],
)
def test_files_of_another_kind(content, told, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert told in refused(read_weights, path)


def test_safetensors_of_other_numbers(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "a.safetensors"
    for array in (np.zeros((2, 2), "complex64"), np.zeros((2, 2, 0), "float32")):
        save_file({"conv1.weight": array, "a\nb": np.zeros(1)}, path)
        refused(read_weights, path)


def test_safetensors_whose_first_byte_is_that_of_a_pickle(tmp_path, monkeypatch):
    from safetensors.numpy import save

    monkeypatch.setattr("keras_resnext.weights.files._read_torch", None)
    path, tensors = tmp_path / "a.safetensors", to_torch(LayerWeights.of_model(network()))
    contents = (save(tensors, {"x": "x" * length}) for length in range(0, 256, 8))
    path.write_bytes(next(content for content in contents if content[0] == 0x80))
    assert read_weights(path).classes == 3


def test_pickles(tmp_path, caplog):
    torch = pytest.importorskip("torch")
    victim, path = tmp_path / "made", tmp_path / "a.pth"
    tensors = to_torch(LayerWeights.of_model(network()))
    tensors = {name: torch.from_numpy(array) for name, array in tensors.items()}
    beside = dict(x=Path(victim), acc=np.float64(0.5), args=argparse.Namespace(lr=Path("x")))
    beside |= dict(history=collections.defaultdict(list), self=(loop := {}), dtype=np.dtype("f4"))
    loop["loop"] = loop
    for zipped in (True, False):
        torch.save({"net": tensors} | beside, path, _use_new_zipfile_serialization=zipped)
        assert read_weights(path).classes == 3
    torch.save({"ema": torch.nn.DataParallel(old_networks.kuangliu()), "epoch": 3}, path)
    assert read_weights(path).classes == old_networks.CLASSES
    torch.save(tensors | {"x": Touch(victim)}, path)
    assert "holds more than tensors (Trying to call" in refused(read_weights, path)
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps(Touch(victim), protocol))
        refused(read_weights, path)
    head = {"fc.weight": torch.zeros(1).expand(2**31, 512), "fc.bias": torch.zeros(1).expand(2**31)}
    torch.save(tensors | head, path)
    assert "declares 1,101,6" in refused(read_weights, path)
    torch.save(tensors | {"conv1.weight": tensors["conv1.weight"].to(torch.complex64)}, path)
    assert "is of dtype complex64" in refused(read_weights, path)
    torch.save([torch.zeros(3)], path)
    assert "holds a list without tensors by name" in refused(read_weights, path)
    torch.save(tensors, path)
    whole = path.read_bytes()
    for damaged in (whole[:200], whole.replace(b"conv1.weight", b"conv2.weight", 1)):
        path.write_bytes(damaged)
        assert "is damaged, or holds more than tensors (" in refused(read_weights, path)
    path.write_bytes(whole)
    write_members(path, members(path), zipfile.ZIP_DEFLATED)
    assert "(it is compressed, as TorchScript is); load it" in refused(read_weights, path)
    assert not victim.exists()
