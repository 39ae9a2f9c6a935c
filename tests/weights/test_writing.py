import sys

import numpy as np
import pytest

from keras_resnext.weights.tensors import read_tensors
from keras_resnext.weights.writing import write_tensors
from tests.test_files import room_for

TENSORS = {
    "b": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
    "a": np.array(7),
    "c": np.zeros((0, 3)),
}


@pytest.fixture(params=["safetensors", "pth"])
def path(request, tmp_path):
    if request.param == "pth":
        pytest.importorskip("torch")
    return tmp_path / f"a.{request.param}"


def test_what_is_written_is_read(path):
    write_tensors(path, TENSORS)
    write_tensors(path, TENSORS)
    found = read_tensors(path)
    assert found.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert len(list(path.parent.iterdir())) == 1


def test_as_pytorch_loads_it(path):
    torch = pytest.importorskip("torch")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file as load
    else:
        load = torch.load
    write_tensors(path, TENSORS)
    for name, tensor in load(path).items():
        np.testing.assert_array_equal(tensor.numpy(), TENSORS[name], strict=True)


def test_leaves_the_old_file_where_there_is_no_room(path):
    path.write_text("old")
    with pytest.raises(OSError, match=r"cannot write .*a\..*File too large"), room_for(100):
        write_tensors(path, TENSORS)
    assert path.read_text() == "old"
    assert len(list(path.parent.iterdir())) == 1


def test_leaves_the_old_file_where_a_tensor_cannot_be_written(path):
    path.write_text("old")
    with pytest.raises(Exception, match="object"):
        write_tensors(path, {"a": np.array(["text"], object)})
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["a.h5", "a", "a.bin"])
def test_other_names(tmp_path, name):
    with pytest.raises(ValueError, match=rf"ends in \.safetensors or \.pth, got {name}"):
        write_tensors(tmp_path / name, TENSORS)


@pytest.mark.parametrize(
    ("name", "missing", "advice"),
    [
        ("a.pth", "torch", r'pip install "keras-resnext\[torch\]"'),
        ("a.safetensors", "safetensors.numpy", r'pip install "keras-resnext\[weights\]"'),
    ],
)
def test_a_library_that_is_not_installed(tmp_path, monkeypatch, name, missing, advice):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=advice):
        write_tensors(tmp_path / name, TENSORS)
    assert not list(tmp_path.iterdir())
