"""Readers and writers of files of weights and models; no code in a file is ever run.

Every error is a ValueError of one line that names the file.
"""

import argparse
import io
import json
import logging
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_resnext.files import escape, write_bytes
from keras_resnext.weights.layers import OURS, LayerWeights
from keras_resnext.weights.naming import from_torch, to_torch

SUFFIXES = (".safetensors", ".weights.h5", ".keras", ".pth")
"""Of the files that are read and written. A `.pt`, `.bin` or `.tar` by PyTorch is read too."""
logger = logging.getLogger("keras_resnext")

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
# Where training scripts keep weights, the preferred first: timm's `load_state_dict` has this order.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
# Prefixes by DistributedDataParallel and torch.compile, as timm's `clean_state_dict` strips them.
_WRAPPED = re.compile(r"(_orig_mod\.)?(module\.)?(_orig_mod\.)?")
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
        path: `.safetensors` or a state dict by PyTorch, named as one of `naming.NAMINGS`;
            `.weights.h5` or `.keras` of a model that is or holds a ResNeXt of ours.

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
    if head.startswith((b"PK", b"\x80")):
        tensors = _read_torch(path)
    elif head[8:9] == b"{":
        tensors = _read_safetensors(path)
    else:
        raise ValueError(f"{path} begins with {head[:16]!r}; expected {', '.join(SUFFIXES)}")
    try:
        return from_torch({_WRAPPED.sub("", name, count=1): t for name, t in tensors.items()})
    except ValueError as error:
        raise ValueError(f"{path} holds {error}") from None


def write_weights(path: Path, weights: LayerWeights) -> None:
    """Write a state dict as torchvision and timm name it, atomically.

    Args:
        path: `NAME.safetensors`, or `NAME.pth` for `torch.load`; its folder exists.
        weights: of any ResNeXt.

    Raises:
        ImportError: a `.pth` needs PyTorch, which is not installed.
        OSError: it cannot be written.
    """
    tensors = {name: _storable(array) for name, array in to_torch(weights).items()}
    if path.suffix == ".pth":
        torch = _torch(path)
        memory = io.BytesIO()  # PyTorch raises no OSError where a disk is full
        torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, memory)
        write_bytes(path, memory.getbuffer())
    else:
        from safetensors.numpy import save

        write_bytes(path, save(tensors, metadata={"format": "pt"}))


def _storable(array: np.ndarray) -> np.ndarray:
    """In native bytes; half precision and bfloat16, which not every reader knows, as float32."""
    half = array.dtype.name in ("float16", "bfloat16")
    dtype = np.dtype(np.float32) if half else array.dtype.newbyteorder("=")
    return np.array(array, dtype, order="C")


def _plain(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.name != "bfloat16" and array.dtype.kind not in "fiub":
        raise ValueError(
            f"{path}: tensor '{escape(name)}' is of dtype {array.dtype.name}; expected "
            "floating-point numbers or integers. Convert it to float32 first"
        )
    return _storable(array)


def _check_total(path: Path, shapes: Iterable[tuple[int, ...]]) -> None:
    """Make sure, before any array is made, that a file holds what it declares.

    A few bytes can declare any number of elements: by strides of 0, by shared storages, by chunks
    that are not there, by compression. No kind of weights takes less than a byte per element.
    """
    elements, size = sum(math.prod(shape) for shape in shapes), path.stat().st_size
    if elements > size:
        raise ValueError(
            f"{path} declares {elements:,} elements in {size:,} bytes, so that reading it would "
            "fill the memory; nothing of it was read"
        )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {
                name: _plain(path, name, file.get_tensor(name))
                for name in file.keys()  # noqa: SIM118 - it is no dict
            }
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or incomplete; download it again ({error})") from error
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} holds numbers of a kind that NumPy does not have ({error}); convert them to "
            "float32 first"
        ) from error


def _torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f'{path} needs PyTorch: pip install "keras-resnext[torch]". A .safetensors file needs '
            "nothing"
        ) from error
    return torch


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict, or that of a training's checkpoint; PyTorch's safe unpickler runs no code.

    A training's options may be in an `argparse.Namespace`, as timm allows too.
    """
    torch = _torch(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
                raise ValueError(f"{path} is compressed, which torch.save does not do; not read")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # what they announce, the errors say
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises nearly any kind for a damaged file
        raise ValueError(
            f"{path} is damaged, or holds more than tensors ({_first_line(error)}); load it by "
            "PyTorch where you trust it, and save model.state_dict() alone"
        ) from error
    tensors = _state_dict(path, content, torch.Tensor)
    _check_total(path, (tuple(tensor.shape) for tensor in tensors.values()))
    try:
        half = (torch.float16, torch.bfloat16)
        tensors = {name: t.float() if t.dtype in half else t for name, t in tensors.items()}
        return {name: _plain(path, name, t.detach().numpy()) for name, t in tensors.items()}
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{path} holds a tensor that NumPy cannot hold ({error})") from error


def _state_dict(path: Path, content: Any, kind: type) -> dict[str, Any]:
    """The tensors by name, out of what was saved."""
    found = f"a {type(content).__name__}"
    if isinstance(content, dict):
        wrappers = [key for key in _WRAPPERS if isinstance(content.get(key), dict)]
        tensors = content[wrappers[0]] if wrappers else content
        strange = [name for name, value in tensors.items() if not isinstance(value, kind)]
        if len(wrappers) > 1:
            logger.warning("%s: took %r; it holds %r too", path, *wrappers[:2])
        if tensors and not strange and all(isinstance(name, str) for name in tensors):
            return dict(tensors)
        found = f"a dict with {escape(', '.join(map(str, strange)))[:200] or 'nothing'}"
    raise ValueError(
        f"{path} holds {found}; expected a state dict: tensors by name, at the top or as "
        f"{', '.join(_WRAPPERS)}"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _read_keras(path: Path) -> LayerWeights:
    """Read a `.weights.h5`, or that in a `.keras`, by the names of the layers, whatever is around.

    The model is not rebuilt, so nothing in its configuration matters.
    """
    with _opened(path) as file:
        layers: dict[str, list[np.ndarray]] = {}
        strange = []
        for name, arrays in _layers(path, file):
            if not OURS.match(name):
                strange += [name] if arrays else []
                continue
            if arrays and layers.get(name):
                raise ValueError(f"{path} holds more than one layer {name!r}; expected one ResNeXt")
            layers.setdefault(name, arrays)
    weights = LayerWeights.of_layers(layers)
    if weights.architecture() is None:
        raise ValueError(
            f"{path} holds no ResNeXt of keras_resnext"
            + (f"; its layers are {escape(', '.join(strange[:5]))}" if strange else "")
        )
    if strange:
        logger.warning("%s: left out %s, which a ResNeXt does not have", path, ", ".join(strange))
    return weights


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file, or that in a `.keras`, once all of it has been checked."""
    try:
        source: Any = path
        if path.suffix == ".keras":
            source = io.BytesIO(_members(path)["model.weights.h5"])
        with h5py.File(source, "r") as file:
            _check_total(path, _shapes(path, file, {}))
            yield file
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no file by Keras 3 ({error})") from error


def _members(path: Path) -> dict[str, bytes]:
    """Read what a `.keras` holds; no more than Keras writes, and stored as Keras does."""
    try:
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
            if sorted(item.filename for item in items) != sorted(_MEMBERS):
                found = escape(", ".join(item.filename for item in items[:10]))
                raise ValueError(
                    f"{path}: expected {', '.join(_MEMBERS)} and nothing else, found "
                    f"{found or 'nothing'}; nothing of it was read"
                )
            size = path.stat().st_size
            for item in items:
                if item.compress_type != zipfile.ZIP_STORED or item.file_size > size:
                    raise ValueError(
                        f"{path}: {item.filename} is compressed to a part of {item.file_size:,} "
                        "bytes, which Keras does not do; nothing of it was read"
                    )
            return {item.filename: archive.read(item) for item in items}
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged, or no .keras file ({error})") from error


def _shapes(path: Path, group: h5py.Group, seen: dict[int, str]) -> Iterator[tuple[int, ...]]:
    """Shapes of all datasets; raise where one is not plain data of this very file."""
    for name in group:
        if not name.isprintable():
            raise ValueError(f"{path}: the name '{escape(name)[:80]}' has control characters")
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
            created = item.id.get_create_plist()
            if created.get_external_count() or created.get_layout() == h5py.h5d.VIRTUAL:
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
    if dataset.attrs.get("dtype") == "bfloat16":
        import ml_dtypes

        array = array.view(ml_dtypes.bfloat16)
    return _plain(path, str(dataset.name), array)


# What networks around ours are made of, by exact module and name; nothing else is deserialized.
_KNOWN: dict[str, str] = {
    "keras": "DTypePolicy Model Sequential",
    "keras.dtype_policies": "DTypePolicy DTypePolicyMap",
    "keras.src.models.functional": "Functional",
    "keras.layers": """
        Activation ActivityRegularization AdaptiveAveragePooling2D AdaptiveMaxPooling2D Add
        AlphaDropout Average AveragePooling2D BatchNormalization CenterCrop Concatenate Conv2D
        Conv2DTranspose Cropping2D Dense DepthwiseConv2D Dot Dropout ELU Flatten GaussianDropout
        GaussianNoise GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization Identity
        InputLayer LayerNormalization LeakyReLU MaxPooling2D Maximum Minimum Multiply Normalization
        PReLU Permute RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation
        RandomTranslation RandomZoom ReLU Rescaling Reshape Resizing SeparableConv2D Softmax
        SpatialDropout2D Subtract UnitNormalization UpSampling2D ZeroPadding2D
        """,
    "keras.initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones
        RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
        """,
    "keras.regularizers": "L1 L1L2 L2",
    "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    "keras.src.activations.activations": "ReLU",
    "keras.src.ops.core": "Cast",
    "keras.src.ops.nn": """
        Elu Gelu HardSigmoid HardSilu LeakyRelu LogSoftmax Relu Relu6 Selu Sigmoid Silu Softmax
        Softplus
        """,
    "keras.src.ops.numpy": """
        Absolute Add Clip Concatenate Copy Divide Exp ExpandDims Flip GetItem Log Max Maximum Mean
        Min Minimum Moveaxis Multiply Negative Pad Power Reshape Split Sqrt Square Squeeze Stack
        Subtract Sum Swapaxes Tanh Transpose TrueDivide
        """,
}
_FUNCTIONS = """
    elu exponential gelu hard_sigmoid hard_silu hard_swish leaky_relu linear log_softmax mish relu
    relu6 selu sigmoid silu softmax softplus softsign swish tanh
    """
_VALUES = {"__keras_tensor__", "__numpy__", "__tensor__", "__slice__", "__ellipsis__", "__tuple__"}
_OURS = ("keras_resnext>GroupedConv2D", "keras_resnext>BatchNorm")
_SMALL = 100_000  # elements of variables that no file holds, or of several generators' states


def load_keras_model(path: Path, allow: Iterable[str] = ()) -> keras.Model:
    """Load a `.keras` file of a network around ours, not compiled; nothing unknown in it is run.

    Every layer, operation and function in it must be on a list of what such networks are made of.
    Keras' safe mode is on as well, but it refuses only what is known to be harmful.

    Args:
        path: of the file.
        allow: registered names, `"package>Name"`, of the user's own layers and functions that may
            be in it; they must have been registered, by importing the module that defines them.

    Raises:
        ValueError: it is damaged, holds something else, or declares more than its weights are.
    """
    path = Path(path)
    known = {*_OURS, *allow}
    for name in known:
        if keras.saving.get_registered_object(name) is None:
            raise ValueError(f"allow={name!r} is not registered; import the module that defines it")
    try:
        config = json.loads(_members(path)["config.json"])
    except (ValueError, RecursionError) as error:
        damaged = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, RecursionError))
        raise ValueError(
            f"{path}: its config.json is damaged ({error})" if damaged else str(error)
        ) from None
    _check_config(path, config, known)
    with _opened(path) as file:
        stored = sum(math.prod(shape) for shape in _shapes(path, file, {}))

    def build():
        return keras.saving.deserialize_keras_object(deepcopy(config), safe_mode=True)

    try:
        described = without_values(build)
        if not isinstance(described, keras.Model):
            raise ValueError("it is no model")
        declared = sum(math.prod(variable.shape) for variable in described.variables)
        if declared > stored + _SMALL:
            raise ValueError(f"it declares {declared:,} weights and holds {stored:,}")
        model = build()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they announce, the error says
            model.load_weights(path)
    except Exception as error:  # Keras raises nearly any kind for a damaged file
        raise ValueError(f"{path} cannot be loaded: {_reason(error)}") from error
    return model


def without_values(build: Callable[[], keras.Model]) -> keras.Model:
    """Build a network whose variables have shapes, but take no memory: good for counting only.

    Keras defers the values of variables made in a `keras.StatelessScope`, and keeps a list of
    them, by thread, to initialize later: here the list ends with its thread.

    Args:
        build: what builds it. Keras' settings by thread (the global dtype policy) are not seen.
    """

    def deferred():
        with keras.StatelessScope(initialize_variables=False):
            return build()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(deferred).result()


def _check_config(path: Path, config: Any, known: set[str]) -> None:
    """Make sure that all that a configuration describes or names is known, however deep.

    How a nested model was compiled is removed: it is not needed, and would be deserialized.
    """
    registered = keras.saving.get_custom_objects()
    rest = [config]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            value.pop("compile_config", None)
            if "class_name" in value and not _is_known(value, known):
                named = f" {value.get('config')}" if value["class_name"] == "function" else ""
                what = f"{value['class_name']}{named} of {value.get('module')}"
                raise ValueError(
                    f"{path} holds {escape(what)[:200]}, which is not on the list of what networks "
                    "around a ResNeXt are made of; nothing of it was run. If it is your own, allow "
                    f'it by its registered name: allow=("package>Name",)'
                )
            rest += value.values()
        elif isinstance(value, list):
            rest += value
        elif isinstance(value, str) and value in registered and value not in known:
            raise ValueError(f"{path} names {escape(value)}; allow it: allow=({value!r},)")


def _is_known(described: dict[str, Any], known: set[str]) -> bool:
    name, module, config = (described.get(key) for key in ("class_name", "module", "config"))
    registered = described.get("registered_name")
    if not all(isinstance(text, str | None) for text in (name, module, registered)):
        return False
    if name in _VALUES:
        return module is None and registered is None
    if name == "function":
        builtin = module in ("builtins", "keras.activations") and config in _FUNCTIONS.split()
        return isinstance(config, str) and (
            config in known or (builtin and registered in (None, config))
        )
    is_listed = name in _KNOWN.get(str(module), "").split() and registered in (None, name)
    return isinstance(config, dict) and (registered in known or is_listed)


def _reason(error: Exception) -> str:
    """The first line of a message, or of what Keras, which lists all layers, gives for one."""
    first, *rest = str(error).split("\n\n")
    return _first_line(ValueError(rest[0] if first.startswith("A total of") and rest else first))
