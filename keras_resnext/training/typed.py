"""Flat frozen dataclasses of plain values: types checked, written as TOML and read back."""

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def check_types(instance: Any) -> None:
    """Check every field against its annotation: values also come from files.

    Args:
        instance: of a dataclass whose fields are numbers, booleans, texts, paths, tuples of whole
            numbers, literal strings, or one of them or None.

    Raises:
        ValueError: a value is of another type; the message names the field.
    """
    for name, hint in typing.get_type_hints(type(instance)).items():
        value = getattr(instance, name)
        options = typing.get_args(hint) if _is_union(hint) else (hint,)
        if not any(_fits(value, option) for option in options):
            wanted = " or ".join(_describe(option) for option in options)
            raise ValueError(f"{name}: expected {wanted}, got {value!r}")


def to_toml(instance: Any) -> str:
    """Write as TOML, fields that are None left out: TOML has no such value.

    Raises:
        ImportError: tomli_w is not installed.
    """
    try:
        import tomli_w
    except ImportError as error:
        raise ImportError(
            'writing settings needs tomli-w. Type: pip install "keras-resnext[scripts]"'
        ) from error
    values = dataclasses.asdict(instance)
    return tomli_w.dumps(
        {
            name: str(value) if isinstance(value, Path) else value
            for name, value in values.items()
            if value is not None
        }
    )


def from_toml(kind: type[T], text: str) -> T:
    """Read what `to_toml` wrote; keys that are missing keep their defaults.

    Raises:
        ValueError: it is not TOML, a key is unknown, or a value does not fit.
    """
    values = tomllib.loads(text)
    hints = typing.get_type_hints(kind)
    if unknown := sorted(values.keys() - hints.keys()):
        raise ValueError(
            f"unknown settings {', '.join(unknown)}; known are {', '.join(sorted(hints))}"
        )
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
        elif isinstance(value, str) and Path in typing.get_args(hints[name]):
            values[name] = Path(value)
    return kind(**values)


def _fits(value: Any, option: Any) -> bool:
    if typing.get_origin(option) is Literal:
        return isinstance(value, str) and value in typing.get_args(option)
    if typing.get_origin(option) is tuple:
        return isinstance(value, tuple) and all(_fits(item, int) for item in value)
    if option is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, option)


def _describe(option: Any) -> str:
    if typing.get_origin(option) is Literal:
        return "one of " + ", ".join(typing.get_args(option))
    if typing.get_origin(option) is tuple:
        return "whole numbers"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(option, "nothing" if option is type(None) else "a path")


def _is_union(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
