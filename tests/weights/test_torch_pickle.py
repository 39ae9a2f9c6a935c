"""Files that would run a program, read elsewhere or fill the memory, did anyone trust them."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from keras_resnext.weights.arrays import WeightsError
from keras_resnext.weights.torch_file import read_torch, read_without_torch
from keras_resnext.weights.torch_pickle import MAGIC_NUMBER, PROTOCOL_VERSION
from tests.data.test_unpickling import Touch

READERS = (read_torch, read_without_torch)
DEFAULT = dict(kind="FloatStorage", key="0", size=6, offset=0, shape=(2, 3), strides=(3, 1))


class Named:
    """Pickled as a name."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickled as a call of a name."""

    def __init__(self, module, name, *arguments):
        self.target, self.arguments = Named(module, name), arguments


class Kept:
    """Pickled as a reference."""

    def __init__(self, *pid):
        self.pid = pid


class Pickler(pickle._Pickler):
    """Writes names that are not importable here."""

    def persistent_id(self, value):
        return value.pid if isinstance(value, Kept) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.target)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def pickled(value):
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def tensor(**changes):
    told = DEFAULT | changes
    storage = Kept("storage", Named("torch", told["kind"]), told["key"], "cpu", told["size"])
    arguments = (storage, told["offset"], told["shape"], told["strides"], False, {})
    return Call("torch._utils", "_rebuild_tensor_v2", *arguments)


def write_zip(path, content, members=None, root="archive", compression=zipfile.ZIP_STORED):
    numbers = np.arange(6, dtype="<f4").tobytes()
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", content)
        archive.writestr(f"{root}/version", "3\n")
        for name, value in ({"data/0": numbers} if members is None else members).items():
            archive.writestr(f"{root}/{name}", value)
    return path


def write_stream(path, content, little=True):
    numbers = np.arange(6, dtype="<f4").tobytes()
    head = [MAGIC_NUMBER, PROTOCOL_VERSION, {"little_endian": little}]
    parts = [*(pickle.dumps(part, 2) for part in head), content, pickle.dumps(["0"], 2)]
    path.write_bytes(b"".join(parts) + struct.pack("<q", 6) + numbers)
    return path


@pytest.fixture(params=[write_zip, write_stream])
def write(request, tmp_path):
    return lambda content: request.param(tmp_path / "a.pth", content)


def test_a_sound_file_made_by_hand(write):
    found = read_without_torch(
        write(pickled({"a": tensor(), "b": tensor(offset=5, shape=(1,), strides=(1,))}))
    )
    np.testing.assert_array_equal(
        found["a"], np.arange(6, dtype=np.float32).reshape(2, 3), strict=True
    )
    np.testing.assert_array_equal(found["b"], np.float32([5]), strict=True)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("deep", [lambda code: code, lambda code: {"a": tensor(), "b": [(code,)]}])
def test_code_is_not_run(write, tmp_path, read, deep):
    victim = tmp_path / "made"
    content = pickled(deep(Call(os.mkdir.__module__, "mkdir", str(victim))))
    with pytest.raises(WeightsError, match=r"it names (posix|nt)\.mkdir; .*Nothing of it was run"):
        read(write(content))
    assert not victim.exists()
    pickle.loads(pickled(Call(os.mkdir.__module__, "mkdir", str(victim))))
    assert victim.exists(), "the file must be one that would have run code"


@pytest.mark.parametrize("place", ["keys", "magic", "system"])
def test_code_is_not_run_from_beside_the_tensors(tmp_path, place):
    victim = tmp_path / "made"
    code = pickle.dumps(Touch(victim), 2)
    sound = pickled({"a": tensor()})
    parts = {
        "magic": pickle.dumps(MAGIC_NUMBER, 2),
        "protocol": pickle.dumps(PROTOCOL_VERSION, 2),
        "system": pickle.dumps({"little_endian": True}, 2),
        "content": sound,
        "keys": pickle.dumps(["0"], 2),
    }
    (tmp_path / "a.pth").write_bytes(b"".join((parts | {place: code}).values()))
    with pytest.raises(WeightsError, match="it names"):
        read_without_torch(tmp_path / "a.pth")
    assert not victim.exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins\neval",
        "__builtin__\ngetattr",
        "os\nsystem",
        "torch\nload",
        "torch\nos",
        "torch._utils\n_rebuild_device_tensor_from_numpy",
        "torch.storage\n_load_from_bytes",
        "collections\nCounter",
        "argparse\nArgumentParser",
        "numpy\nload",
    ],
)
def test_no_other_name_is_known(write, name):
    with pytest.raises(WeightsError, match="it names"):
        read_without_torch(write(b"\x80\x02c" + name.encode() + b"\n."))


@pytest.mark.parametrize(
    "target", ["collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.Size"]
)
@pytest.mark.parametrize("state", [{"items": 1, "__setstate__": 1}, (None, {"__call__": 1})])
def test_nothing_can_be_changed_for_the_next_file(write, target, state):
    """By setting attributes of what a file may name."""
    module, _, name = target.rpartition(".")
    content = pickled({"a": tensor()})
    spoilt = (
        b"\x80\x02"
        + pickled(Named(module, name))[2:-1]
        + pickled(state)[2:-1]
        + b"b0"
        + content[2:]
    )
    try:
        found = read_without_torch(write(spoilt))
    except WeightsError:
        found = read_without_torch(write(content))
    np.testing.assert_array_equal(found["a"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(offset=1), "does not lie within its storage of 6 elements"),
        (dict(strides=(4, 1)), "does not lie within"),
        (dict(strides=(2**62, 1)), "does not lie within"),
        (dict(offset=2**70), "does not lie within"),
        (dict(shape=(2,)), "does not lie within"),
        (dict(shape=(1,) * 70, strides=(1,) * 70), "does not lie within"),
        (dict(strides=(-1, 1), offset=5), "expected whole numbers"),
        (dict(offset=-1), "expected whole numbers"),
        (dict(offset=1.0), "expected whole numbers"),
        (dict(shape=("2", 3)), "expected whole numbers"),
        (dict(shape=2), "damaged"),
        (dict(size=7), "has 24 bytes, 7 elements of float32 were announced"),
        (dict(size=5, shape=(1,), strides=(1,)), "has 24 bytes, 5 elements"),
        (dict(size=2**62), "were announced"),
        (dict(size=-6), "expected storages"),
        (dict(kind="DoubleStorage"), "damaged|6 elements of float64 were announced"),
        (dict(kind="QInt8Storage"), "it names torch.QInt8Storage"),
        (dict(kind="ComplexFloatStorage"), "it names torch.ComplexFloatStorage"),
        (dict(key="1"), "damaged"),
        (dict(key="../../../etc/passwd"), "damaged"),
        (dict(key=0), "expected storages"),
        (dict(shape=(10**12, 10**12), strides=(0, 0)), "describes 1,000,000,000,000,000,000,000"),
    ],
)
def test_tensors_that_lie(write, changes, message):
    with pytest.raises(WeightsError, match=message):
        read_without_torch(write(pickled({"a": tensor(**changes)})))


def test_tensors_that_share_a_storage_to_fill_the_memory(write):
    many = {str(i): tensor() for i in range(1000)}
    shared = pickled(many)
    assert len(read_without_torch(write(shared))) == 1000  # there the names take more
    wide = {f"{i:03}": tensor(shape=(6, 1000), strides=(1, 0)) for i in range(100)}
    with pytest.raises(WeightsError, match="describes 600,000 elements"):
        read_without_torch(write(pickled(wide)))


@pytest.mark.parametrize(
    "pid", ["text", ("module", 1), ("storage",), ("storage", "eval", "0", "cpu", 6)]
)
def test_references_to_something_else(write, pid):
    content = pickled({"a": Kept(*pid) if isinstance(pid, tuple) else Kept(pid)})
    with pytest.raises(WeightsError, match="expected storages of tensors only"):
        read_without_torch(write(content))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # memory for 2**31 objects
        b"\x80\x02Np4000000000\n.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # 2**63 bytes of content
        b"\x80\x02X\xff\xff\xff\x7f.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02" + 10_000 * b"(" + b".",
        b"\x80\x02}" + 100_000 * b"\x85" + b".",
        b"",
        b"\x80\x02",
        b"\xff\xff.",
    ],
)
def test_pickles_that_are_made_to_break_the_reader(write, content):
    with pytest.raises(WeightsError):
        read_without_torch(write(content))


def test_members_that_are_compressed(tmp_path):
    bomb = write_zip(tmp_path / "a.pth", bytes(1_000_000), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="would unpack to 1,000,000 bytes"):
        read_without_torch(bomb)


def test_a_member_that_says_it_is_huge(tmp_path):
    path = write_zip(tmp_path / "a.pth", pickled({"a": tensor()}))
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02", 0, content.rindex(b"archive/data/0"))
    struct.pack_into("<II", content, central + 20, 4_000_000_000, 4_000_000_000)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="would unpack to 4,000,000,000 bytes"):
        read_without_torch(path)


@pytest.mark.parametrize("root", ["..", "/tmp", "../../archive"])
@pytest.mark.parametrize("read", READERS)
def test_members_that_lead_out(tmp_path, root, read, monkeypatch):
    work = tmp_path / "inner" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    members = {"data/0": np.arange(6, dtype="<f4").tobytes(), "../../evil": b"x"}
    path = write_zip(tmp_path / "a.pth", pickled({"a": tensor()}), members, root=root)
    before = sorted(tmp_path.rglob("*"))
    assert list(read(path)) == ["a"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"something else \(empty\)"),
        (["arr_0.npy"], r"something else \('arr_0.npy'\); expected data.pkl"),
        (["a/data.pkl", "b/data.pkl"], "something else"),
        (["a/data.pkl", "a/constants.pkl"], r"a TorchScript archive.*state_dict\(\)"),
        (["config.json", "model.weights.h5"], r"a Keras model.*ends in \.keras"),
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_zip_archives_of_something_else(tmp_path, names, message, read):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / "a.pth")


def test_big_endian_machines(tmp_path):
    with pytest.raises(WeightsError, match="big-endian"):
        read_without_torch(write_stream(tmp_path / "a.pth", pickled({"a": tensor()}), little=False))
    members = {"data/0": bytes(24), "byteorder": b"big"}
    with pytest.raises(WeightsError, match="big-endian"):
        read_without_torch(write_zip(tmp_path / "b.pth", pickled({"a": tensor()}), members))


@pytest.mark.parametrize("read", READERS)
def test_a_pickle_of_something_else(tmp_path, read):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": [1, 2]}))
    with pytest.raises(WeightsError, match=r"a pickle that .torch\.save. did not write"):
        read(tmp_path / "a.pkl")


def test_the_oldest_published_files(write):
    """Written by Python 2, and PyTorch before 0.4."""
    old = tensor()
    old.target.name, old.arguments = "_rebuild_tensor", old.arguments[:4]
    content = pickled({"a": old}).replace(b"X\1\0\0\0a", b"U\1a")
    found = read_without_torch(write(content))
    np.testing.assert_array_equal(found["a"], [[0, 1, 2], [3, 4, 5]])
