"""Find what a run, a model file, a weights file or a name of published weights stands for."""

import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import keras

from keras_resnext.arguments import in_data_format
from keras_resnext.data import Dataset
from keras_resnext.models import from_preset
from keras_resnext.presets import PRESETS, Preset
from keras_resnext.safe import load_model, reason
from keras_resnext.training.folder import SETTINGS_FILE, settings_of
from keras_resnext.training.network import build_network
from keras_resnext.training.precision import dtype_policy
from keras_resnext.training.settings import Settings


@dataclass(frozen=True)
class Trained:
    """Something trained.

    Attributes:
        path: of the model or weights file; of published weights their name.
        settings: what it was trained with; None where nothing says so.
        folder: where what is found out about it belongs.
        preset: the published weights; None where it was trained here.
    """

    path: Path
    settings: Settings | None
    folder: Path
    preset: Preset | None = None

    def model(self, dataset: Dataset) -> keras.Model:
        """Load it.

        Raises:
            ValueError: the weights belong to another network or data set.
            ConnectionError: published ones are not in the cache and cannot be downloaded.
        """
        if self.preset:
            return from_preset(self.preset.name, input_shape=in_data_format(dataset.input_shape))
        if self.path.suffix == ".keras":
            return load_model(self.path)
        assert self.settings is not None
        keras.config.set_dtype_policy(dtype_policy(self.settings.precision))
        model = build_network(self.settings, dataset.input_shape, dataset.num_classes)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what they announce, the error says
                model.load_weights(self.path)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(
                f"weights {self.path} do not fit {self.settings.model} with "
                f"{dataset.num_classes} classes ({dataset.name}): {reason(error)}"
            ) from error
        return model


def find_trained(target: Path, weights: str = "best", settings: Settings | None = None) -> Trained:
    """Look at what the user named.

    Args:
        target: a run's folder, a `.keras` file, a `.weights.h5` file, or the full name of published
            weights, which are what `runs/NAME` is for a run; a file of that name goes before.
        weights: of a run: "best" or "last".
        settings: of a file that has no settings file beside it; for `.weights.h5` files
            necessary, then.

    Raises:
        ValueError: it is not there, of another kind, or settings are missing.
    """
    if target.is_dir():
        path = target / f"{weights}.weights.h5"
        run_settings = settings_of(target)
        if not path.is_file():
            raise ValueError(f"run {target}: {path.name} is not there; no epoch is finished yet")
        return Trained(path, run_settings, target)
    if not target.is_file():
        if preset := PRESETS.get(str(target)):
            return Trained(target, None, Path("runs") / target, preset)
        raise ValueError(
            f"target: expected a run's folder or a model file, found none at {target}, nor are "
            f"published weights called so{_meant(str(target))}"
        )
    beside = target.with_name(SETTINGS_FILE)
    if settings is None and beside.is_file():
        settings = Settings.from_file(beside)
    if target.name.endswith(".weights.h5"):
        if settings is None:
            raise ValueError(
                f"target: {target} holds weights only; say of which network by --settings "
                f"(a recipe or a {SETTINGS_FILE})"
            )
    elif target.suffix != ".keras":
        raise ValueError(f"target: expected NAME.keras or NAME.weights.h5, got {target.name}")
    return Trained(target, settings, target.parent)


def _meant(name: str) -> str:
    near = get_close_matches(name, PRESETS)
    return f"; did you mean {' or '.join(near)}?" if near else ""
