"""PyTorch's files of weights, read without PyTorch and without running what they name.

The one reader of the kind on PyPI, ptloader 0.3, does not know the format of before PyTorch 1.6,
which many published weights are in.
"""

import io
import mmap
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from keras_resnext.weights.arrays import WeightsError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGES = {
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "BoolStorage": np.dtype(np.bool_),
    "ByteStorage": np.dtype(np.uint8),
    "CharStorage": np.dtype(np.int8),
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "IntStorage": np.dtype("<i4"),
    "LongStorage": np.dtype("<i8"),
    "ShortStorage": np.dtype("<i2"),
}
CODE_ADVICE = (
    "Nothing of it was run. Where you trust whoever made it, load it by PyTorch, write only the "
    "tensors by `torch.save(model.state_dict(), NAME)`, and give that file"
)


class Storage(NamedTuple):
    """Elements on end, which tensors are views of.

    Attributes:
        key: its name in the file.
        kind: one of `STORAGES`.
        size: number of elements.
    """

    key: str
    kind: str
    size: int


class Tensor(NamedTuple):
    """A view of a storage; all in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@contextmanager
def checkpoint(path: Path) -> Iterator[tuple[Any, Callable[[Tensor], np.ndarray]]]:
    """Open what `torch.save` wrote, in the zip format of today or that of before PyTorch 1.6.

    Yields:
        What was saved, with a `Tensor` for each tensor, and the function that reads one.

    Raises:
        WeightsError: it is damaged, or holds anything else than tensors and plain values.
    """
    with open(path, "rb") as file:
        source = _from_zip if file.read(2) == b"PK" else _from_stream
    try:
        with source(path) as (content, storage):
            yield content, lambda tensor: _view(tensor, storage(tensor.storage))
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle makes Python fail with nearly any kind
        raise WeightsError(f"damaged or incomplete; download it again ({error})") from error


def check_archive(path: Path) -> None:
    """Make sure that a zip archive is what `torch.save` writes.

    Raises:
        WeightsError: it is something else, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _root(archive)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"damaged or incomplete; download it again ({error})") from error


@contextmanager
def _from_zip(path):
    with zipfile.ZipFile(path) as archive:
        root = _root(archive)
        limit = path.stat().st_size

        def member(name):
            info = archive.getinfo(f"{root}/{name}")
            # PyTorch stores members as they are, so that none can be larger than the file.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > limit:
                raise WeightsError(
                    f"{info.filename} would unpack to {info.file_size:,} bytes; expected it "
                    "uncompressed, as PyTorch writes it"
                )
            return archive.read(info)

        if f"{root}/byteorder" in archive.namelist():
            _check_byte_order(member("byteorder") == b"little")
        content = _load(io.BytesIO(member("data.pkl")))
        yield content, cache(lambda storage: member(f"data/{storage.key}"))


def _root(archive: zipfile.ZipFile) -> str:
    """The one folder that all is in."""
    names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            "a TorchScript archive, which is a program and its weights. Write the weights alone: "
            "`torch.save(torch.jit.load(FILE).state_dict(), NAME)`"
        )
    if "model.weights.h5" in names:
        raise WeightsError("a Keras model; give it a name that ends in .keras")
    roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        found = ", ".join(repr(name) for name in names[:5])
        raise WeightsError(
            f"a zip archive of something else ({found or 'empty'}); expected data.pkl, as "
            "`torch.save` writes it. If it holds a file of weights, unpack it and give that"
        )
    return roots[0]


@contextmanager
def _from_stream(path):
    """Pickles one after the other, and then the storages, each after its number of elements."""
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream,
    ):
        if _load(stream) != MAGIC_NUMBER or _load(stream) != PROTOCOL_VERSION:
            raise WeightsError(
                f"a pickle that `torch.save` did not write, which can hold a program. {CODE_ADVICE}"
            )
        _check_byte_order(_load(stream)["little_endian"])
        kinds: dict[str, str] = {}
        content = _load(stream, kinds)
        places = {}
        for key in _load(stream):
            (size,) = struct.unpack("<q", stream.read(8))
            begin = stream.tell()
            stream.seek(size * STORAGES[kinds[key]].itemsize, io.SEEK_CUR)
            places[key] = slice(begin, stream.tell())
        yield content, cache(lambda storage: stream[places[storage.key]])


def _check_byte_order(is_little: bool) -> None:
    if not is_little:
        raise WeightsError("written on a big-endian machine; load it by PyTorch and save it again")


def _view(tensor: Tensor, content: bytes) -> np.ndarray:
    storage = tensor.storage
    dtype = STORAGES[storage.kind]
    if len(content) != storage.size * dtype.itemsize:
        raise WeightsError(
            f"storage {storage.key!r} has {len(content):,} bytes, {storage.size:,} elements of "
            f"{dtype.name} were announced: damaged or incomplete; download it again"
        )
    try:
        # NumPy makes sure that offset, shape and strides stay within the content.
        return np.ndarray(
            tensor.shape,
            dtype,
            content,
            tensor.offset * dtype.itemsize,
            [stride * dtype.itemsize for stride in tensor.strides],
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise WeightsError(
            f"a tensor of shape {tensor.shape}, strides {tensor.strides} and offset "
            f"{tensor.offset} does not lie within its storage of {storage.size:,} elements: "
            "damaged, or made to do damage"
        ) from error


class _Plain(dict):
    """An `OrderedDict` or `argparse.Namespace`, without attributes.

    Attributes of the first hold the versions of modules, those of the second a training's options.
    A class of its own, so that a file can set none that hide a method.
    """

    def __setstate__(self, state):
        pass


class _Unpickler(pickle.Unpickler):
    """Knows what a state dict is made of, and nothing that could be run."""

    def __init__(self, stream: Any, kinds: dict[str, str]):
        super().__init__(stream, encoding="utf-8")
        self.kinds = kinds
        # A pickle can set attributes of functions: these are anew in every file.
        tensor = lambda *arguments: _tensor(*arguments)  # noqa: E731
        self.known = {
            ("collections", "OrderedDict"): _Plain,
            ("argparse", "Namespace"): _Plain,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor"): tensor,
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }

    def find_class(self, module, name):
        if module == "torch" and name in STORAGES:
            return name
        try:
            return self.known[module, name]
        except KeyError:
            raise WeightsError(
                f"it names {module}.{name}; expected tensors, plain values and no code, but a "
                f"whole pickled model, for instance, is code. {CODE_ADVICE}"
            ) from None

    def persistent_load(self, pid):
        match pid:
            case ("storage", str(kind), str(key), _, int(size), *view) if (
                kind in STORAGES and size >= 0 and view in ([], [None])
            ):
                if self.kinds.setdefault(key, kind) != kind:
                    raise WeightsError(f"storage {key!r} is of {kind} and {self.kinds[key]}")
                return Storage(key, kind, size)
        raise WeightsError(f"it refers to {str(pid)[:100]}; expected storages of tensors only")


def _tensor(storage, offset, shape, strides, *_):
    """PyTorch's `_rebuild_tensor_v2`, which has two arguments more than the first."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise WeightsError(f"it describes a tensor by {str(numbers)[:100]}; expected whole numbers")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _load(stream: Any, kinds: dict[str, str] | None = None) -> Any:
    """Unpickle what comes next.

    Args:
        stream: a binary file or map; left after it.
        kinds: to be filled with the kind of each storage, by key.
    """
    begin = stream.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        # The unpickler makes room for as many objects as the highest number it is told.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise WeightsError(f"it numbers object {argument} before so many are there")
    stream.seek(begin)
    return _Unpickler(stream, {} if kinds is None else kinds).load()
