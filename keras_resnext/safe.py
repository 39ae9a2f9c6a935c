"""Model files of strangers, looked through before Keras reads them."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

CONFIG = "config.json"
MEMBERS = {CONFIG, "metadata.json", "model.weights.h5"}
PACKAGES = ("builtins", "keras", "keras_resnext")
# Keras' names for what carries code, or refers to it: Python, a SavedModel, a pickled module.
WITH_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper")


def load_model(path: Path) -> keras.Model:
    """Load a `.keras` file that passes `check_model_file`, in safe mode and without compiling.

    Raises:
        ValueError: it does not pass, or Keras cannot read it.
    """
    check_model_file(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly any kind for a damaged file
        raise ValueError(f"model: {path} cannot be loaded: {reason(error)}") from error


def reason(error: Exception) -> str:
    """In one line: the first of a message, or what Keras, which lists all layers, gives for one."""
    first, *rest = (str(error) or type(error).__name__).split("\n\n")
    return (rest[0] if first.startswith("A total of") and rest else first).splitlines()[0]


def check_model_file(path: Path) -> None:
    """Make sure that a `.keras` file holds a network of known layers and its weights, no more.

    Keras' safe mode, which stays on, refuses code as well; but its message tells how to switch it
    off. A damaged file or an unknown class make it fail with nearly any kind of exception, a
    configuration may unpack to 4 GiB, and members that lead out of the archive it passes over.

    What a file was compiled with is not looked at: load with `compile=False`.

    Args:
        path: of the file.

    Raises:
        ValueError: it is damaged, or holds or names something else. Nothing of it has been run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist())
            config = json.loads(archive.read(CONFIG))
    except (OSError, zipfile.BadZipFile, RecursionError) as error:
        raise ValueError(f"model: {path} is damaged or no .keras file ({error})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"model: {path} is damaged: its {CONFIG} is no JSON ({error})") from error
    if isinstance(config, dict):
        config.pop("compile_config", None)
    for described in _classes(config):
        _check_class(path, described)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if sorted(member.filename for member in members) != sorted(MEMBERS):
        found = ", ".join(repr(member.filename) for member in members[:10])
        raise ValueError(
            f"model: expected {', '.join(sorted(MEMBERS))} in {path} and nothing else, found "
            f"{found or 'nothing'}; nothing of it was read"
        )
    size = path.stat().st_size
    for member in members:
        # Keras stores members as they are, so that none can be larger than the file.
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:
            raise ValueError(
                f"model: expected {member.filename} in {path} uncompressed, as Keras writes it; it "
                f"would unpack to {member.file_size:,} bytes. Save the model anew by Keras"
            )


def _check_class(path: Path, described: dict[str, Any]) -> None:
    name, module = described["class_name"], described.get("module")
    if name in WITH_CODE:
        raise ValueError(
            f"model: {path} holds {name}, which can run any program; expected layers without code "
            "of their own. Nothing of it was run"
        )
    plain = module is None and str(name).startswith("__")  # a shape or an array
    if not plain and str(module).split(".")[0] not in PACKAGES:
        raise ValueError(
            f"model: {path} names {name} of {module}; expected classes of Keras and keras_resnext "
            "only. Nothing of it was run"
        )


def _classes(config: Any) -> Iterator[dict[str, Any]]:
    """Every description of a class or function, however deep."""
    rest = [config]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            rest += value.values()
        elif isinstance(value, list):
            rest += value
