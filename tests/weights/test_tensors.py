import gzip
import io
import pickle
import subprocess
import sys
import tarfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from keras_resnext.weights.tensors import read_tensors
from keras_resnext.weights.writing import write_tensors
from tests.weights.test_old_keras import write as write_old_keras
from tests.weights.test_torch_pickle import pickled, tensor, write_stream, write_zip

SAFE = {
    "half": np.ones((2, 3), np.float16),
    "brain": np.arange(3).astype(ml_dtypes.bfloat16),
    "double": np.arange(3.0),
    "count": np.array(7),
    "mask": np.array([True, False]),
}


def tar():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return stream.getvalue()


def test_safetensors(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(save(SAFE))
    found = read_tensors(tmp_path / "a.safetensors")
    assert found.keys() == SAFE.keys()
    for name, array in SAFE.items():
        expected = array.astype(np.float32) if name in ("half", "brain") else array
        np.testing.assert_array_equal(found[name], expected, strict=True)
        assert found[name].flags.c_contiguous


def test_a_file_is_what_it_holds_not_what_it_is_called(tmp_path):
    content = pickled({"a": tensor()})
    for path in (
        write_zip(tmp_path / "a.safetensors", content),
        write_stream(tmp_path / "b.h5", content),
    ):
        assert list(read_tensors(path)) == ["a"]
    assert "conv1_conv/kernel" in read_tensors(str(write_old_keras(tmp_path / "a.pth")))
    (tmp_path / "a.bin").write_bytes(save(SAFE))
    assert "half" in read_tensors(tmp_path / "a.bin")


def test_prefixes_of_wrapped_models(tmp_path):
    names = ["module.a", "_orig_mod.b", "_orig_mod.module.c", "module._orig_mod.d", "e.module.f"]
    write_tensors(tmp_path / "a.safetensors", {name: np.ones(1) for name in names})
    assert sorted(read_tensors(tmp_path / "a.safetensors")) == ["a", "b", "c", "d", "e.module.f"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.pth: empty; download it again"),
        (b"<!DOCTYPE html><html>404</html>", "a web page; download the file itself"),
        (b"\n  <HTML lang='en'>", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "pointer of Git LFS.*lfs pull",
        ),
        (gzip.compress(b"weights"), "a packed archive; unpack it"),
        (tar(), "a packed archive; unpack it"),
        (b"\x93NUMPY\x01\x00", "it begins with b'.x93NUMPY.*expected a file of PyTorch"),
        (b"PK\x03\x04" + bytes(100), "damaged or incomplete; download it again"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "damaged or incomplete; download it again"),
        (b"\x80\x02\x8a\x0a", "damaged or incomplete; download it again"),
        (b"\xff\0\0\0\0\0\0\0{", "damaged or incomplete; download it again"),
        (pickle.dumps({"a": 1}), "a pickle that .torch.save. did not write"),
    ],
)
def test_what_lies_where_weights_should(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_tensors(tmp_path / "a.pth")
    assert str(raised.value).startswith(f"weights: {tmp_path / 'a.pth'}")
    assert len(str(raised.value).splitlines()) == 1


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match=r"no\.pth cannot be read: No such file or directory"):
        read_tensors(tmp_path / "no.pth")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_tensors(tmp_path)


@given(part=st.floats(0.1, 0.999))
@settings(max_examples=20, deadline=None)
def test_truncated_safetensors(tmp_path_factory, part):
    path = tmp_path_factory.mktemp("cut") / "a.safetensors"
    content = save(SAFE)
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="download it again"):
        read_tensors(path)


def test_numbers_that_numpy_has_not(tmp_path):
    float8 = np.ones(2, ml_dtypes.float8_e4m3fn)
    (tmp_path / "a.safetensors").write_bytes(save({"a": float8}))
    with pytest.raises(ValueError, match=r"that NumPy has not .*float8_e4m3fn"):
        read_tensors(tmp_path / "a.safetensors")


def test_safetensors_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "a.safetensors").write_bytes(save(SAFE))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "keras-resnext\[weights\]"'):
        read_tensors(tmp_path / "a.safetensors")


def test_what_reads_files_is_imported_when_it_does():
    code = (
        "import sys, keras; before = set(sys.modules)\n"
        "import keras_resnext, keras_resnext.weights.tensors, keras_resnext.weights.writing\n"
        "print(sorted({'safetensors', 'torch'} & (sys.modules.keys() - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]"
