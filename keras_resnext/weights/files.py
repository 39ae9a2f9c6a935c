"""Readers and writers of files of weights and models; no code in a file is ever run.

Every error is a ValueError of one line that names the file.
"""

import io
import logging
import math
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING  # of names as Python 2 has them, which PyTorch writes
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_resnext.files import escape, few, require, write_bytes, write_safetensors
from keras_resnext.weights.hub import first_line
from keras_resnext.weights.layers import OURS, LayerWeights
from keras_resnext.weights.naming import LIBRARIES, find_network, to_torch

SUFFIXES = (".safetensors", ".weights.h5", ".keras", ".pth")
"""Of the files that are read and written. A `.pt`, `.bin` or `.tar` by PyTorch is read too."""
logger = logging.getLogger("keras_resnext")

# How pickles name classes and functions.
_GLOBAL = re.compile(rb"c([\w.]+)\n([\w.]+)\n")
_LARGEST_PICKLE = 2**24  # bytes
# What lies where weights should, by its first bytes.
_MISTAKEN = (
    (rb"\Z", "is empty; download it again"),
    (
        rb"\s*<(!doctype|html|head|\?xml)",
        "is a web page; download the file itself, as a browser does by a link named Download",
    ),
    (rb"version https://git-lfs", "is a pointer of Git LFS; fetch the file by `git lfs pull`"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", "is a packed archive; unpack it first"),
)


def read_weights(path: Path) -> LayerWeights:
    """Read the weights of a ResNeXt from a file of any kind; what it is its first bytes tell.

    Args:
        path: `.safetensors` or what PyTorch saved, with a network in it that is named as one of
            `naming.NAMINGS`; `.weights.h5` or `.keras` of a model that is or holds a ResNeXt.

    Raises:
        ValueError: it cannot be read, or holds no ResNeXt.
        ImportError: it needs PyTorch, which is not installed.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    for pattern, found in _MISTAKEN:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            raise ValueError(f"{path} {found}")
    if path.suffix == ".keras" or head.startswith(b"\x89HDF"):
        return _read_keras(path)
    # These come first: the length of the header, in the first 8 bytes, may begin as a pickle does.
    if head[8:9] == b"{":
        tensors = _read_safetensors(path)
    elif head.startswith((b"PK", b"\x80")):
        tensors = _read_torch(path)
    else:
        raise ValueError(f"{path} begins with {head[:16]!r}; expected {', '.join(SUFFIXES)}")
    try:
        network, lines = find_network({name: tuple(t.shape) for name, t in tensors.items()})
    except ValueError as error:
        raise ValueError(f"{path} holds {error}") from None
    for line in lines:
        logger.warning("%s: %s", path, line)
    _check_total(path, (tuple(tensors[name].shape) for name in network.names()))
    try:
        return network.weights(lambda name: _plain(path, name, _as_array(tensors[name])))
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path} holds a tensor that NumPy cannot hold ({error})") from error


def write_weights(path: Path, weights: LayerWeights, naming: str = LIBRARIES[0]) -> None:
    """Write a state dict, `NAME.safetensors` or `NAME.pth`, atomically.

    Raises:
        ValueError: the library has no such network.
        ImportError: a `.pth` needs PyTorch, which is not installed.
        OSError: it cannot be written.
    """
    tensors = {name: _storable(array) for name, array in to_torch(weights, naming).items()}
    if path.suffix == ".pth":
        torch = _torch(path)
        memory = io.BytesIO()  # PyTorch raises no OSError where a disk is full
        torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, memory)
        write_bytes(path, memory.getbuffer())
    else:
        write_safetensors(path, tensors, {"format": "pt"})


def _storable(array: np.ndarray) -> np.ndarray:
    """In native bytes; half precision and bfloat16, which not every reader knows, as float32."""
    half = array.dtype.name in ("float16", "bfloat16")
    dtype = np.dtype(np.float32) if half else array.dtype.newbyteorder("=")
    return np.array(array, dtype, order="C")


def _plain(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.name != "bfloat16" and array.dtype.kind not in "fiub":
        what = f"tensor '{escape(name)}' is of dtype {array.dtype.name}"
        raise ValueError(f"{path}: {what}; convert it to float32 first")
    return _storable(array)


def _check_total(path: Path, shapes: Iterable[tuple[int, ...]]) -> None:
    """Make sure, before any array is made, that a file holds what it declares.

    Strides of 0, shared storages, chunks that are not there and compression declare any number of
    elements in a few bytes. No kind of weights takes less than a byte per element.
    """
    elements, size = sum(math.prod(shape) for shape in shapes), path.stat().st_size
    if elements > size:
        raise ValueError(f"{path} declares {elements:,} elements in {size:,} bytes; not read")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or incomplete; download it again ({error})") from error
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} holds numbers of a kind that NumPy does not have ({error}); convert them to "
            "float32 first"
        ) from error


def _torch(path: Path) -> Any:
    what = f"{path} needs PyTorch, which a .safetensors file does not"
    return require("torch", what, '"keras-resnext[torch]"')


class _Inert:
    """Stands for whatever a file names that is no tensor; keeps its parts and runs nothing."""

    def __init__(self, *_):
        self.parts: Any = {}

    def __setstate__(self, state):
        self.parts = state


class _InertDict:
    def __new__(cls, *_):
        return OrderedDict()  # PyTorch adds items to no other


def _read_torch(path: Path) -> dict[str, Any]:
    """Read all tensors of what was saved; PyTorch's safe unpickler runs no code.

    What trainers keep beside them, and the classes of whole models, are `_Inert`.
    """
    torch = _torch(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                items = archive.infolist()
                if any(item.compress_type != zipfile.ZIP_STORED for item in items):
                    raise ValueError("it is compressed, as TorchScript is")
                pickled = [archive.read(i) for i in items if i.filename.endswith("data.pkl")]
        else:
            with open(path, "rb") as file:
                pickled = [file.read(_LARGEST_PICKLE)]
        names = {
            f"{IMPORT_MAPPING.get(module.decode(), module.decode())}.{name.decode()}"
            for text in pickled
            for module, name in _GLOBAL.findall(text)
        }
        inert = [(_InertDict if name.lower().endswith("dict") else _Inert, name) for name in names]
        with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
            warnings.simplefilter("ignore")  # what they announce, the errors say
            content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = dict(_tensors(content, torch.Tensor, "", set()))
    except Exception as error:  # PyTorch raises nearly any kind for a damaged file
        found = re.search(r"WeightsUnpickler error:\s*(.*)", str(error))
        raise ValueError(
            f"{path} is damaged, or holds more than tensors "
            f"({found[1] if found else first_line(error)}); load it by PyTorch where you trust "
            "it, and save model.state_dict() alone"
        ) from error
    if not tensors:
        raise ValueError(f"{path} holds a {type(content).__name__} without tensors by name")
    return tensors


def _tensors(content: Any, kind: type, key: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Tensors by name, those of dicts in dicts as `key/name`, of modules as their state dict."""
    parts = content.parts if isinstance(content, _Inert) else content
    if not isinstance(parts, dict) or id(parts) in seen:
        return
    seen.add(id(parts))
    for name, value in parts.items():
        if isinstance(value, kind):
            yield f"{key}{name}", value
        elif name in ("_parameters", "_buffers", "_modules"):
            yield from _tensors(value, kind, key, seen)
        else:
            separator = "." if isinstance(value, _Inert) else "/"
            yield from _tensors(value, kind, f"{key}{name}{separator}", seen)


def _as_array(tensor: Any) -> np.ndarray:
    """A tensor of NumPy, or of PyTorch, whose bfloat16 NumPy does not have."""
    if isinstance(tensor, np.ndarray):
        return tensor
    is_half = tensor.is_floating_point() and tensor.itemsize < 4
    return (tensor.float() if is_half else tensor).detach().numpy()


def _read_keras(path: Path) -> LayerWeights:
    """Read a `.weights.h5`, or that in a `.keras`, by the names of the layers, whatever is around.

    The model is not rebuilt, so nothing in its configuration matters.
    """
    with _opened(path) as file:
        if "layer_names" in file.attrs or "model_weights" in file:
            raise ValueError(f"{path} is an .h5 as Keras 2 had it; save the model as NAME.keras")
        layers = list(_layers(path, file))
    weights = LayerWeights.of_layers(layers, str(path))
    if strange := [name for name, arrays in layers if arrays and not OURS.match(name)]:
        others = few(map(escape, strange))
        logger.warning("%s: left out %s, which a ResNeXt does not have", path, others)
    return weights


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file, or that in a `.keras`, once all of it has been checked."""
    try:
        source: Any = path
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                member = archive.getinfo("model.weights.h5")
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{path} is compressed, which Keras does not do; not read")
                source = io.BytesIO(archive.read(member))
        with h5py.File(source, "r") as file:
            _check_total(path, _shapes(path, file, {}))
            yield file
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no file by Keras 3 ({error})") from error


def _shapes(path: Path, group: h5py.Group, seen: dict[int, str]) -> Iterator[tuple[int, ...]]:
    """Shapes of all datasets; raise where one is not plain data of this very file."""
    for name in group:
        if not isinstance(name, str) or not name.isprintable():  # bytes where it is not UTF-8
            raise ValueError(f"{path}: the name '{escape(str(name))[:80]}' is not printable text")
        link = group.get(name, getlink=True)
        item = group.get(name) if isinstance(link, h5py.HardLink) else None
        if item is None:
            raise ValueError(f"{path}: {group.name}/{name} is a link; expected plain data")
        if (address := h5py.h5o.get_info(item.id).addr) in seen:
            raise ValueError(f"{path}: {item.name} is {seen[address]} again; expected plain data")
        seen[address] = item.name
        if isinstance(item, h5py.Group):
            yield from _shapes(path, item, seen)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"{path}: {item.name} lies in another file, which was not read")
            if item.shape is None or item.dtype.kind not in "fiubV":
                raise ValueError(f"{path}: {item.name} is of dtype {item.dtype}; expected numbers")
            yield item.shape
        else:
            raise ValueError(f"{path}: {item.name} is a data type; expected plain data")


def _layers(path: Path, group: h5py.Group) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Name and weights of every layer, those of nested models too."""
    for key, item in group.items():
        if not isinstance(item, h5py.Group) or key == "optimizer":
            continue
        if key != "vars":
            yield from _layers(path, item)
        elif name := item.attrs.get("name"):
            arrays = [item.get(str(index)) for index in range(len(item))]
            if not all(isinstance(array, h5py.Dataset) for array in arrays):
                raise ValueError(f"{path}: {item.name} holds other things than weights by number")
            yield str(name), [_array(path, array) for array in arrays]


def _array(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    array = np.asarray(dataset)
    if array.dtype == "V2":  # as Keras writes it
        import ml_dtypes

        array = array.view(ml_dtypes.bfloat16)
    return _plain(path, str(dataset.name), array)


def without_values(build: Callable[[], keras.Model]) -> keras.Model:
    """Build a network whose variables have shapes, but take no memory: good for counting only.

    Keras defers the values of variables made in a `keras.StatelessScope`, and keeps a list of
    them, by thread, to initialize later: here the list, as all settings by thread, ends with it.
    """

    def deferred():
        with keras.StatelessScope(initialize_variables=False):
            return build()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(deferred).result()
