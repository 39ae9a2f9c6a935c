"""Carrying weights between the three forms of the block (Xie et al., figure 3 and section 4)."""

import re

import keras
import numpy as np

_BRANCH = re.compile(r"_branch\d+(?=_(?:conv|bn)\d$)")


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
    whole = {name: _joined(layers) for name, layers in _by_whole_layer(source).items()}
    targets = _by_whole_layer(target)
    if whole.keys() != targets.keys():
        differing = sorted(whole.keys() ^ targets.keys())
        raise ValueError(
            f"source {source.name!r} and target {target.name!r} must be ResNeXt models that differ "
            f"only in `block`; only one of them has {', '.join(differing[:5])}."
        )
    shares = {name: _shared(whole[name], layers) for name, layers in targets.items()}
    for name, layers in targets.items():
        for layer, weights in zip(layers, shares[name], strict=True):
            expected = [tuple(w.shape) for w in layer.weights]
            if [w.shape for w in weights] != expected:
                raise ValueError(
                    f"layer {name!r} of source {source.name!r} does not fit {layer.name!r} of "
                    f"target {target.name!r}: shapes {[w.shape for w in weights]}, expected "
                    f"{expected}. The models may differ only in `block`."
                )
    for name, layers in targets.items():
        for layer, weights in zip(layers, shares[name], strict=True):
            layer.set_weights(weights)


def _by_whole_layer(model: keras.Model) -> dict[str, list[keras.Layer]]:
    """Layers with weights by their name in form (c), a layer's branches in order."""
    found: dict[str, list[keras.Layer]] = {}
    for layer in model.layers:
        if layer.weights:
            found.setdefault(_BRANCH.sub("", layer.name), []).append(layer)
    return found


def _axis(layer: keras.Layer) -> int:
    """Along which axis of its weights a layer of branches is cut.

    A path owns outputs of the first two convolutions and inputs of the third.
    """
    return -2 if layer.name.endswith("_conv3") else -1


def _joined(layers: list[keras.Layer]) -> list[np.ndarray]:
    arrays = zip(*(layer.get_weights() for layer in layers), strict=True)
    return [np.concatenate(parts, _axis(layers[0])) for parts in arrays]


def _shared(whole: list[np.ndarray], layers: list[keras.Layer]) -> list[list[np.ndarray]]:
    """One list of weights for each layer."""
    if len(layers) == 1:
        return [whole]
    axis = _axis(layers[0])
    parts = (np.array_split(array, len(layers), axis) for array in whole)
    return [list(part) for part in zip(*parts, strict=True)]
