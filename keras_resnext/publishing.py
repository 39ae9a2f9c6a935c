"""What leaves the package: weights converted or pushed, model cards, and the table of presets."""

import json
import os
import re
from dataclasses import replace
from math import ceil, prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from keras_resnext.architecture import Architecture
from keras_resnext.blocks import kernel_shapes
from keras_resnext.checkpoint import HUB, WEIGHTS, Checkpoint, open_checkpoint, write_folder
from keras_resnext.files import atomic_write, escape, markdown_table, table
from keras_resnext.models import from_preset
from keras_resnext.weights import hub
from keras_resnext.weights.config import to_timm
from keras_resnext.weights.files import SUFFIXES, read_weights, write_weights
from keras_resnext.weights.naming import LIBRARIES
from keras_resnext.weights.presets import is_recommended, list_presets


def convert(
    checkpoint: str | os.PathLike | Checkpoint,
    target: str | os.PathLike,
    naming: str = LIBRARIES[0],
) -> None:
    """Write a checkpoint's weights to a file, read it back and compare.

    Args:
        checkpoint: as of `open_checkpoint`.
        target: `NAME.safetensors` or `NAME.pth`, a state dict; `NAME.weights.h5` or `NAME.keras`
            for Keras; a name without suffix for a folder in timm's layout.
        naming: whose network a state dict is for: `"torchvision"` (and timm) or another of
            `keras_resnext.weights.naming.LIBRARIES`.

    Raises:
        ValueError: `checkpoint` is none, `target` has another suffix or is the source itself, or
            the network has no such names.
        OSError: `target` cannot be written.
        RuntimeError: it was written, and holds other numbers than the source.
    """
    source, target = open_checkpoint(checkpoint), Path(target)
    if target.suffix and not target.name.endswith(SUFFIXES):
        names = ", NAME".join(SUFFIXES)
        raise ValueError(f"target: expected NAME{names} or a folder, got {target}")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"target: {target.parent} is no folder; make it first")
    if target.exists() and os.path.exists(source.source) and target.samefile(source.source):
        raise ValueError(f"target: {target} is the source; give another name")
    is_state_dict = target.suffix in (".safetensors", ".pth")
    if naming not in LIBRARIES or (naming != LIBRARIES[0] and not is_state_dict):
        raise ValueError(
            f"naming: expected one of {', '.join(LIBRARIES)}, other than the first for a "
            f".safetensors or .pth only, got {naming!r} for {target}"
        )
    weights = source.weights()
    if not target.suffix:
        write_folder(target, source, weights)
        target /= WEIGHTS["best"]
    elif is_state_dict:
        write_weights(target, weights, naming)
    else:
        has_top = source.classes is not None
        model = from_preset(replace(source, read=lambda: weights), include_top=has_top)
        with atomic_write(target) as temporary:
            write = model.save if target.suffix == ".keras" else model.save_weights
            write(temporary)
    found = read_weights(target).arrays
    if found.keys() != weights.arrays.keys() or not all(
        np.array_equal(one, other, equal_nan=True)
        for name, arrays in weights.arrays.items()
        for one, other in zip(arrays, found[name], strict=True)
    ):
        raise RuntimeError(f"{target} holds other numbers than {source.source}; remove it")


def push_to_hub(
    checkpoint: str | os.PathLike | Checkpoint,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Push a checkpoint to the Hugging Face hub, in timm's layout and with a model card.

    Args:
        checkpoint: as of `open_checkpoint`.
        repo_id: `"owner/name"`; the repository is made if it does not exist.
        private: whether a new repository is.
        token: of the user. Default: that of `hf auth login` or `HF_TOKEN`.

    Returns:
        URL of the repository.

    Raises:
        ValueError: the checkpoint is none, or the repository is not this user's to write to.
        ConnectionError: the hub cannot be reached.
    """
    source = open_checkpoint(checkpoint)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        named = replace(source, name=repo_id)
        write_folder(folder, named, source.weights())
        usage = f'keras_resnext.from_preset("{HUB}{repo_id}")'
        card = _front_matter(source) + model_card(named, how=f"```python\nmodel = {usage}\n```")
        (folder / "README.md").write_text(card, encoding="utf-8")
        return hub.upload(folder, repo_id, private=private, token=token)


def model_card(checkpoint: Checkpoint, *, how: str = "") -> str:
    """Return a model card in Markdown; `how` says there how to use it."""
    parts = [f"# {escape(checkpoint.name)}", f"{checkpoint.architecture}."]
    if checkpoint.trained_on:
        parts.append(f"Trained on {escape(checkpoint.trained_on)}.")
    if how:
        parts += ["## Use", how]
    if crop := checkpoint.preprocessing:
        mean, std = (", ".join(f"{value:g}" for value in pixel) for pixel in (crop.mean, crop.std))
        parts += [
            "## Preprocessing",
            f"RGB pixels, 0 to 255. The shorter side is resized to {crop.resize_size} pixels "
            f"({crop.interpolation}, antialiased), {crop.image_size}x{crop.image_size} pixels are "
            f"cropped at the center, the mean ({mean}) is subtracted and the result is divided by "
            f"the standard deviation ({std}).",
        ]
    for name, value in checkpoint.accuracy.items():
        parts.append(f"Accuracy, {escape(name)}: {100 * value:.2f} %.")
    if names := checkpoint.class_names:
        listed = ", ".join(f"`{escape(name)}`" for name in names[:100])
        parts += ["## Classes", f"{len(names)}: {listed}{', ...' if len(names) > 100 else ''}"]
    return "\n\n".join([*parts, "## License", checkpoint.license or "Not stated."]) + "\n"


def _front_matter(checkpoint: Checkpoint) -> str:
    library = "timm" if to_timm(checkpoint.architecture)[0] else "keras"
    license = checkpoint.license and f"\nlicense: {json.dumps(checkpoint.license.lower())}"
    tags = "[image-classification, keras, keras_resnext, timm]"
    return (
        f"---\nlibrary_name: {library}\npipeline_tag: image-classification\ntags: {tags}"
        f"{license or ''}\n---\n\n"
    )


_PAGE = """# Pretrained weights

`keras_resnext.from_preset(NAME)` builds the network and loads the weights. `weights=NAME`, or the \
part of the name after the dot, loads them into a network that fits; `weights="imagenet"` stands \
for those marked *imagenet*. They come from timm's repositories on the Hugging Face hub, \
`hf://timm/NAME`.

`cifar100` comes with this package, for images of 32x32 pixels; results/README.md says how it was \
trained.

Accuracy is top-1 and top-5 in percent on the validation images of ImageNet-1k, as published (of \
`cifar100` on the test images of CIFAR-100); parameters and multiply-adds are counted layer by \
layer. **CC-BY-NC-4.0 forbids commercial use**; such weights load by their full name only.

`keras-resnext presets --write docs/presets.md` writes this page.

"""
_COLUMNS = ("weights", "input", "top-1", "top-5", "parameters, M", "multiply-adds, G", "license",
            "", "trained on")  # fmt: skip


def presets_table() -> str:
    """Return all published weights as a table for a terminal."""
    return table([_COLUMNS[:-1], *(row[:-1] for row in _rows())])


def presets_page() -> str:
    """Return docs/presets.md: all published weights."""
    rows = ([f"`{name}`", *cells] for name, *cells in _rows())
    return _PAGE + markdown_table(_COLUMNS, rows) + "\n"


def _rows() -> list[list[str]]:
    rows = []
    for preset in map(open_checkpoint, list_presets()):
        size = preset.preprocessing.image_size if preset.preprocessing else 0
        parameters, multiply_adds = costs(preset.architecture, size, preset.classes or 0)
        accuracy = [f"{100 * share:.3f}" for share in preset.accuracy.values()]
        counts = [f"{parameters / 1e6:.1f}", f"{multiply_adds / 1e9:.2f}"]
        mark = "imagenet" if is_recommended(preset) else ""
        told = [preset.license or "", mark, preset.trained_on or ""]
        rows.append([preset.name, str(size), *accuracy, *counts, *told])
    return rows


def costs(architecture: Architecture, size: int, classes: int) -> tuple[int, int]:
    """Return trainable parameters, and multiply-adds per image of `size` by `size` pixels.

    As torchvision counts them: convolutions and the classifier, without biases and normalization.
    """
    pools = architecture.stem != "cifar"  # after a convolution of stride 2
    parameters, multiply_adds, size = classes, 0, ceil(size / 2) if pools else size
    for layer, kernel in kernel_shapes(architecture, channels=3).items():
        pooled = pools and layer == "stage1_block1_conv1"
        if pooled or re.fullmatch(r"stage([2-9]|\d\d+)_block1_conv2", layer):
            size = ceil(size / 2)
        is_se = "_se_" in layer  # on means over the image, with a bias
        parameters += prod(kernel) + kernel[-1] * (1 if is_se else 2)
        multiply_adds += prod(kernel) * (1 if is_se else size**2)
    head = 256 * 2 ** (len(architecture.stage_blocks) - 1) * classes
    return parameters + head, multiply_adds + head
