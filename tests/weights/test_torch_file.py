import argparse
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_resnext.weights.arrays import WeightsError
from keras_resnext.weights.torch_file import read_torch, read_without_torch

torch = pytest.importorskip("torch")
READERS = (read_torch, read_without_torch)
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool]
DTYPES += [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8]
FORMATS = (True, False)  # zip, and that of before PyTorch 1.6


def save(content, path, is_zip=True):
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    return path


def tensors():
    """Every layout and dtype that a state dict may have."""
    rows = torch.arange(24.0).reshape(4, 6)
    return OrderedDict(
        transposed=rows.t(),
        part=rows[1:, 2::3],
        same_part=rows[1:, 2::3],
        repeated=torch.ones(1, 3).expand(2, 3),
        permuted=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        parameter=torch.nn.Parameter(torch.randn(3)),
        batches=torch.tensor(7),
        empty=torch.zeros(0, 3),
        end_of_another=rows[4:],
        **{str(dtype): torch.tensor([[0, 1], [1, 3]]).to(dtype) for dtype in DTYPES},
    )


@pytest.mark.parametrize("is_zip", FORMATS)
@pytest.mark.parametrize("read", READERS)
def test_every_tensor_as_torch_reads_it(tmp_path, read, is_zip):
    found = read(save(tensors(), tmp_path / "a.pth", is_zip))
    expected = torch.load(tmp_path / "a.pth", weights_only=True)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        half = tensor.dtype in (torch.float16, torch.bfloat16)
        value = (tensor.float() if half else tensor).detach().numpy()
        np.testing.assert_array_equal(found[name], value, strict=True)
        assert found[name].flags.c_contiguous, name
        assert found[name].dtype.isnative, name


@pytest.mark.parametrize("is_zip", FORMATS)
def test_a_whole_network_of_torchvision(tmp_path, is_zip):
    # Beside another build of PyTorch than its own it raises a RuntimeError.
    torchvision = pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    network = torchvision.models.resnext50_32x4d()
    found = read_without_torch(save(network.state_dict(), tmp_path / "a.pth", is_zip))
    expected = network.state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)


@pytest.mark.parametrize("is_zip", FORMATS)
@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("wrapper", "others"),
    [
        ("state_dict_ema", ["state_dict"]),
        ("model_ema", ["model"]),
        ("state_dict", ["model"]),
        ("model", ["optimizer"]),
    ],
)
def test_the_weights_of_a_training(tmp_path, read, wrapper, others, is_zip):
    """timm's and torchvision's checkpoints; a mean of the weights goes before the last."""
    checkpoint = {
        "epoch": 3,
        "arch": "resnext50_32x4d",
        "args": argparse.Namespace(lr=0.1),
        "metrics": [0.5, None, (1, True), torch.Size([2])],
        wrapper: {"a": torch.ones(2)},
        **{name: {"b": torch.zeros(2)} for name in others},
    }
    found = read(save(checkpoint, tmp_path / "a.pth.tar", is_zip))
    np.testing.assert_array_equal(found.pop("a"), [1, 1])
    assert not found


@pytest.mark.parametrize("read", READERS)
def test_a_mean_that_was_not_kept(tmp_path, read):
    save({"state_dict": {"a": torch.ones(2)}, "state_dict_ema": None}, tmp_path / "a.pth")
    assert list(read(tmp_path / "a.pth")) == ["a"]


@pytest.mark.parametrize("is_zip", FORMATS)
@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(2), "it holds a .*Tensor; expected a state dict"),
        ({}, "holds a dict with nothing"),
        ({"epoch": 1, "net": {"a": torch.ones(2)}}, "holds a dict with epoch, net; expected"),
        ({"state_dict": {"a": torch.ones(2), "b": "text"}}, "holds a dict with b; expected"),
    ],
)
def test_no_state_dict(tmp_path, read, content, message, is_zip):
    with pytest.raises(WeightsError, match=message):
        read(save(content, tmp_path / "a.pth", is_zip))


@pytest.mark.parametrize("is_zip", FORMATS)
@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"a": torch.ones(2), "b": np.float64(1)}, r"numpy\._core\.multiarray\.scalar"),
    ],
)
def test_more_than_tensors(tmp_path, read, content, named, is_zip):
    message = rf"it names {named}; expected tensors.*Nothing of it was run.*state_dict\(\)"
    with pytest.raises(WeightsError, match=message):
        read(save(content, tmp_path / "a.pth", is_zip))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, dtype=torch.complex64),
        torch.ones(2).to_sparse(),
        torch.ones(2).to(torch.float8_e4m3fn),
    ],
)
def test_tensors_of_another_kind(tmp_path, read, tensor):
    with pytest.raises(WeightsError, match=r"of dtype|is torch|names torch"):
        read(save({"a": tensor}, tmp_path / "a.pth"))


@pytest.mark.parametrize("is_zip", FORMATS)
@pytest.mark.parametrize("read", READERS)
def test_a_few_bytes_that_would_fill_the_memory(tmp_path, read, is_zip):
    save({"a": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "a.pth", is_zip)
    with pytest.raises(WeightsError, match=r"describes 1,000,000,000,000 elements in [\d,]+ bytes"):
        read(tmp_path / "a.pth")


@pytest.mark.parametrize("is_zip", FORMATS)
@given(part=st.floats(0.01, 0.999))
@settings(max_examples=30, deadline=None)
def test_truncated(tmp_path_factory, is_zip, part):
    path = save(tensors(), tmp_path_factory.mktemp("cut") / "a.pth", is_zip)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(WeightsError, match="download it again"):
        read_without_torch(path)


@pytest.mark.parametrize("is_zip", FORMATS)
@given(place=st.floats(0, 0.999), value=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_byte_changed(tmp_path_factory, is_zip, place, value):
    """Says so, or reads what it says, whatever that is."""
    path = save(tensors(), tmp_path_factory.mktemp("changed") / "a.pth", is_zip)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] = value
    path.write_bytes(content)
    try:
        found = read_without_torch(path)
    except WeightsError:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())


def test_without_torch(tmp_path, monkeypatch):
    path = save({"a": torch.ones(2)}, tmp_path / "a.pth")
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(read_torch(path)["a"], [1, 1])
