"""Carrying weights between the three forms of the block (Xie et al., figure 3 and section 4)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import keras
import numpy as np

T = TypeVar("T")

SHOWN = 5  # tensors that an error names

_BRANCH = re.compile(r"_branch(\d+)(?=_(?:conv|bn)\d$)")


def transfer_weights(source: keras.Model, target: keras.Model) -> None:
    """Set `target`'s weights so that it computes what `source` computes, in its own form.

    Both are `ResNeXt` models that differ at most in `block`: what form (c) holds in one layer,
    form (a) and (b) hold in one layer a branch. A sum of products is split and added in another
    order, so outputs agree to rounding.

    Args:
        source: model to read.
        target: model to write.

    Raises:
        ValueError: if the models differ in more than the form of the block; nothing is written.
    """
    try:
        assign({layer.name: layer.get_weights() for layer in source.layers}, target.layers)
    except ValueError as error:
        raise ValueError(
            f"source {source.name!r} and target {target.name!r} must be ResNeXt models that differ "
            f"only in `block`: {error}"
        ) from None


def assign(
    arrays: Mapping[str, list[np.ndarray]],
    layers: Iterable[keras.Layer],
    optional: Sequence[str] = (),
) -> None:
    """Set the weights of a network's layers, whose block may have another form than theirs.

    Args:
        arrays: the weights of each layer, by its name in any form.
        layers: to write.
        optional: layers that may be missing on either side.

    Raises:
        ValueError: they do not fit; the message names the tensors. Nothing is written.
    """
    given = join_branches(arrays)
    wanted = _by_whole_layer((layer.name, layer) for layer in layers if layer.weights)
    missing = [name for name in wanted if name not in given and name not in optional]
    unknown = sorted(name for name in given if name not in wanted and name not in optional)
    whole = {name: given[name] for name in wanted if name in given}
    wrong = [text for name in whole for text in _wrong_shapes(name, whole[name], wanted[name])]
    problems = (("of another shape", wrong), ("missing", missing), ("unknown", unknown))
    if any(found for _, found in problems):
        raise ValueError("; ".join(_listed(what, found) for what, found in problems if found))
    for name, weights in whole.items():
        for layer, share in zip(wanted[name], _shared(weights, wanted[name]), strict=True):
            layer.set_weights(share)


def join_branches(arrays: Mapping[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Bring the weights of layers, by their names in any form, into form (c)."""
    parts = _by_whole_layer((name, weights) for name, weights in arrays.items() if weights)
    return {name: _joined(name, branches) for name, branches in parts.items()}


def _by_whole_layer(items: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Items by their layer's name in form (c), a layer's branches in order."""
    found: dict[str, dict[int, T]] = {}
    for name, item in items:
        branch = _BRANCH.search(name)
        found.setdefault(_BRANCH.sub("", name), {})[int(branch[1]) if branch else 1] = item
    return {name: [parts[index] for index in sorted(parts)] for name, parts in found.items()}


def _axis(name: str) -> int:
    """Along which axis of its weights a layer is cut into branches.

    A path owns outputs of the first two convolutions and inputs of the third.
    """
    return -2 if name.endswith("_conv3") else -1


def _joined(name: str, branches: list[list[np.ndarray]]) -> list[np.ndarray]:
    if len(branches) == 1:
        return branches[0]
    return [np.concatenate(parts, _axis(name)) for parts in zip(*branches, strict=True)]


def _wrong_shapes(name: str, whole: list[np.ndarray], layers: list[keras.Layer]) -> Iterable[str]:
    """Say which of a layer's tensors do not fit, with the shapes of form (c)."""
    for index, variable in enumerate(layers[0].weights):
        expected = list(variable.shape)
        if len(layers) > 1:
            expected[_axis(name)] *= len(layers)
        found = whole[index].shape if index < len(whole) else None
        if found != tuple(expected):
            yield f"{name}/{variable.name} {found}, expected {tuple(expected)}"


def _shared(whole: list[np.ndarray], layers: list[keras.Layer]) -> list[list[np.ndarray]]:
    """One list of weights for each layer."""
    if len(layers) == 1:
        return [whole]
    axis = _axis(layers[0].name)
    parts = (np.array_split(array, len(layers), axis) for array in whole)
    return [list(part) for part in zip(*parts, strict=True)]


def _listed(what: str, found: Sequence[str]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{what}: {', '.join(found[:SHOWN])}{more}"
