"""From what a user types to a row of the table."""

from dataclasses import asdict

from keras_resnext.architecture import Architecture
from keras_resnext.presets.preset import Preset
from keras_resnext.presets.table import IMAGENET, PRESETS

_SUFFIX = "_in1k"


def names(architecture: Architecture | None = None) -> list[str]:
    """Names of all presets, or of those that fit an architecture."""
    return [
        name
        for name, preset in PRESETS.items()
        if architecture is None or preset.architecture == architecture
    ]


def find_preset(weights: str, architecture: Architecture) -> Preset:
    """Find the published weights that fit an architecture.

    Args:
        weights: a preset's name (`"resnext50_32x4d.a1_in1k"`), its tag (`"a1_in1k"`, `"a1"`), or
            `"imagenet"` for the recommended ones, which always allow commercial use.
        architecture: of the network that they are for.

    Raises:
        ValueError: there are none of that name for this architecture; the message says which there
            are, or which arguments a network for those weights takes.
    """
    fitting = [PRESETS[name] for name in names(architecture)]
    if weights == "imagenet":
        return _recommended(fitting, architecture)
    for preset in fitting:
        if _is_called(preset, weights):
            return preset
    others = [preset for preset in PRESETS.values() if _is_called(preset, weights)]
    if others:
        raise ValueError(f"weights={weights!r} belongs to {_instead(others, architecture)}.")
    if fitting:
        raise ValueError(f"weights={weights!r} is unknown; {_choices(fitting)}.")
    raise _none_published(weights, architecture)


def is_recommended(preset: Preset) -> bool:
    """Whether `weights="imagenet"` stands for it."""
    return IMAGENET.get(preset.architecture_name) == preset.tag


def _is_called(preset, weights):
    return weights in (preset.name, preset.tag, preset.tag.removesuffix(_SUFFIX))


def _recommended(fitting, architecture):
    for preset in fitting:
        if is_recommended(preset):
            return preset
    if fitting:
        raise ValueError(
            f"weights='imagenet' stands for weights that allow commercial use, and those of "
            f"{fitting[0].architecture_name} are {fitting[0].licence}; {_choices(fitting)}."
        )
    raise _none_published("imagenet", architecture)


def _choices(fitting):
    words = ["imagenet"] if any(is_recommended(preset) for preset in fitting) else []
    words += [preset.tag for preset in fitting]
    return f"for {fitting[0].architecture_name} use one of {', '.join(map(repr, words))}"


def _none_published(weights, architecture):
    nearest = _instead(PRESETS.values(), architecture, limit=3)
    return ValueError(
        f"weights={weights!r}: no weights are published for {architecture}. The nearest are those "
        f"of {nearest}."
    )


def _instead(presets, architecture, limit=None):
    """Architectures and the arguments that make them, those that need the fewest first."""
    needed = {
        preset.architecture_name: _differences(preset.architecture, architecture)
        for preset in presets
    }
    return "; ".join(
        f"{name}: pass {', '.join(f'{key}={value!r}' for key, value in arguments.items())}"
        for name, arguments in sorted(needed.items(), key=lambda item: len(item[1]))[:limit]
    )


def _differences(wanted, given):
    """The arguments that make an architecture the wanted one."""
    has = asdict(given)
    return {key: value for key, value in asdict(wanted).items() if value != has[key]}
