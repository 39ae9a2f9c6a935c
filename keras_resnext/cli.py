"""The command `keras-resnext`: each subcommand reads its options, calls one function and prints."""

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from keras_resnext.console import COMMAND, fail, hidden_start_up_lines

try:
    import tyro
    from tyro.conf import arg
except ImportError:
    sys.exit('error: the command line needs tyro. Type: pip install "keras-resnext[train]"')


from keras_resnext import __version__, inference, training
from keras_resnext.checkpoint import Checkpoint, open_checkpoint
from keras_resnext.data import Dataset, DatasetName, find_images, load_dataset
from keras_resnext.export import FORMATS, export
from keras_resnext.files import check_writable, escape, tolerate_output, write_text
from keras_resnext.publishing import convert, presets_page, presets_table, push_to_hub
from keras_resnext.training import RECIPES, RunOptions, Settings
from keras_resnext.training.run import SETTINGS_FILE, settings_of
from keras_resnext.training.settings import Count, checked
from keras_resnext.weights.naming import LIBRARIES

SKIPPED = 3
"""Exit status where some images could not be read."""
T = TypeVar("T")


@checked
class OfCheckpoint:
    """A trained network."""

    checkpoint: Annotated[str, arg(metavar="CHECKPOINT")]
    """A name that `keras-resnext presets` lists, hf://OWNER/NAME, a run's folder or another in
    timm's layout, or a file: .safetensors, .weights.h5, .keras or .pth."""
    which: Literal["best", "last"] = "best"
    """Of a run: the weights of its best epoch on the validation split, or of its last."""

    def open(self) -> Checkpoint:
        """As `open_checkpoint`."""
        return open_checkpoint(self.checkpoint, self.which)


@checked
class DataOptions:
    """The images to measure on."""

    dataset: DatasetName | None = None
    """Data set. None: the one that a run was trained on."""
    data_dir: Path | None = None
    """Where the CIFAR-100 archive lies, or a folder with one folder of images per class (imagenet:
    with train/ and val/, or one folder per WordNet id). None: the run's."""

    def load(self, checkpoint: Checkpoint) -> Dataset | None:
        """Load the data set, resized as the checkpoint wants it; None where nothing names one."""
        name, data_dir, folder = self.dataset, self.data_dir, checkpoint.folder
        if folder and (folder / SETTINGS_FILE).is_file():
            run = settings_of(folder).data
            if name in (None, run.dataset):
                name, data_dir = run.dataset, data_dir or run.data_dir
        if name is None and data_dir is None:
            return None
        if name is None:
            raise ValueError(
                f"--dataset: say what lies in {data_dir}: cifar100, folder or imagenet"
            )
        resized = checkpoint.preprocessing if name in ("folder", "imagenet") else None
        class_names = checkpoint.class_names if name == "imagenet" else None
        return load_dataset(name, data_dir, resized, class_names)


@checked
class OfImages(OfCheckpoint):
    """A trained network and images."""

    images: Annotated[tuple[str, ...], arg(metavar="IMAGE ...", help_behavior_hint="")]
    """Image files, folders of images, or patterns such as 'photos/**/*.jpg'."""
    batch_size: Count = 32
    """Images at a time."""


@checked
class Train:
    """Train a ResNeXt. A recipe gives all settings; each may be overridden.

    The results go to OUTPUT_DIR/RUN_NAME, which is a checkpoint for all other commands. The
    environment variable KERAS_BACKEND chooses tensorflow, jax or torch.
    """

    recipe: Annotated[
        str, arg(help=f"{', '.join(RECIPES)}, or a settings file such as a run's settings.toml.")
    ] = "quickstart"
    run: RunOptions = field(default_factory=RunOptions)
    settings: Annotated[Settings, arg(name="")] = field(default_factory=Settings)

    def __call__(self) -> int:
        if self.run.dry_run:
            print(training.dry_run(self.settings, self.run.rematerialize))
            return 0
        folder = self.run.folder(self.recipe)
        results = training.train(self.settings, folder, self.run)
        print(
            f"Best epoch {results['best_epoch']} (validation accuracy "
            f"{results['best_validation_accuracy']:.2%}): test accuracy "
            f"{results['test_accuracy_best']:.2%}, top-5 {results['test_top5_accuracy_best']:.2%}. "
            f"Last epoch: test accuracy {results['test_accuracy_last']:.2%}.\n"
            f"Written to {folder}. Next: {shlex.join([COMMAND, 'export', str(folder)])}"
        )
        return 0

    @classmethod
    def before(cls, arguments: list[str]) -> "Train":
        """The defaults of all options: a recipe's settings, or those of the run to resume."""
        ahead = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        ahead.add_argument("--recipe")
        ahead.add_argument("--output-dir", type=Path, default=RunOptions().output_dir)
        ahead.add_argument("--run-name")
        ahead.add_argument("--resume", action="store_true")
        ahead.add_argument("--epochs", type=int)
        try:
            seen, _ = ahead.parse_known_args(arguments)
        except argparse.ArgumentError:  # tyro says what is wrong, and how it would be right
            return cls()
        name = seen.recipe or cls.recipe
        if seen.resume and not seen.recipe:
            folder = replace(RunOptions(), output_dir=seen.output_dir, run_name=seen.run_name)
            return cls(settings=settings_of(folder.folder(name)))
        settings, sentence = training.recipe(name), ""
        if seen.epochs:
            settings, sentence = training.shortened(settings, seen.epochs)
        if sentence:
            print(sentence, file=sys.stderr)
        return cls(recipe=name, settings=settings)


@checked
class Evaluate(OfCheckpoint):
    """Measure a network: top-1, top-5, precision, recall and F1 of each class, confusion matrix.

    Prints the tables and writes report.json and confusion.png.
    """

    data: DataOptions = field(default_factory=DataOptions)
    split: Literal["test", "validation", "train"] = "test"
    """Part of the data set to measure on."""
    batch_size: Count = 128
    """Images at a time."""
    output_dir: Path | None = None
    """Where to write. None: evaluation/SPLIT in the checkpoint's folder."""

    def __call__(self) -> int:
        checkpoint = self.open()
        dataset = self.data.load(checkpoint)
        if dataset is None:
            raise ValueError(
                f"--dataset: {checkpoint.name} does not say what to measure on; give --dataset "
                "and --data-dir (for pretrained weights: --dataset imagenet --data-dir FOLDER)"
            )
        folder = self.output_dir or _folder(checkpoint) / "evaluation" / self.split
        check_writable(folder)
        report = inference.evaluate(checkpoint, dataset, self.split, self.batch_size)
        write_text(folder / "report.json", inference.report_as_json(report))
        inference.draw_confusion(report, folder / "confusion.png")
        print(inference.report_as_text(report))
        print(f"\nWritten to {folder}: report.json, confusion.png")
        return 0


@checked
class Predict(OfImages):
    """Print the most likely classes of images.

    CHECKPOINT may also be an export: saved_models/NAME/VERSION. Files that cannot be read are
    reported and skipped; the exit status is 3 then, and 1 if none can be read.
    """

    top: Count = 5
    """Classes to show per image."""
    json: str | None = None
    """File to write the predictions to; -: print them instead of the table."""
    plot: Path | None = None
    """NAME.png to draw the first images and their classes in."""

    def __call__(self) -> int:
        if self.plot and self.plot.suffix != ".png":
            raise ValueError(f"--plot: must be NAME.png, got {self.plot.name}")
        for option, value in (("--json", self.json), ("--plot", self.plot)):
            if value not in (None, "-"):
                if Path(value).exists() and not Path(value).is_file():
                    raise ValueError(f"{option}: {value} is there, and no regular file")
                check_writable(Path(value).parent)
        paths = find_images(self.images)
        predictions: list[inference.Prediction] = []
        unreadable: dict[Path, str] = {}
        source = self.checkpoint if self.which == "best" else self.open()
        with inference.open_classifier(source) as classifier:
            batches = inference.predict_files(classifier, paths, self.top, self.batch_size)
            for batch in _shown(batches, len(paths), self.batch_size):
                predictions += batch.predictions
                unreadable |= batch.unreadable
        status = _skipped(unreadable, len(paths))
        if self.json:
            text = inference.predictions_as_json(self.checkpoint, predictions, unreadable)
            print(text, end="") if self.json == "-" else write_text(self.json, text)
        if self.json != "-":
            print(inference.predictions_as_text(predictions))
        if self.plot:
            inference.draw_predictions(predictions, self.plot)
        return status


@checked
class Explain(OfImages):
    """Show which pixels drive a prediction, by Grad-CAM.

    Writes a PNG per image: the image as the network saw it, and the same under a heat map per
    class. Files that cannot be read are reported and skipped; the exit status is 3 then.
    """

    classes: tuple[str, ...] = ()
    """Names of the classes to explain. None given: the most likely of each image."""
    top: Count = 1
    """How many of the most likely classes to explain."""
    stage: int | None = None
    """Stage of the network whose features are weighed, 1 for the first, of the finest grain. None:
    the last."""
    output_dir: Path | None = None
    """Folder to write to. None: explanations in the checkpoint's folder."""

    def __call__(self) -> int:
        if self.classes and self.top > 1:
            raise ValueError(f"--top: the classes are named, got {self.top}; leave one of them out")
        paths = find_images(self.images)
        checkpoint = self.open()
        folder = self.output_dir or _folder(checkpoint) / "explanations"
        files = inference.explanation_files(paths, folder)
        check_writable(folder)
        unreadable: dict[Path, str] = {}
        grad_cam = inference.GradCAM(checkpoint, self.stage)
        for batch in inference.explain(grad_cam, paths, self.classes, self.top, self.batch_size):
            for explained in batch.predictions:
                assert explained.path  # it comes from a file
                file = files[explained.path]
                inference.draw_explanation(explained, file)
                found = ", ".join(f"{name} {share:.2%}" for _, name, share in explained.guesses)
                print(escape(f"{explained.path}: {found}; written to {file}"))
            unreadable |= batch.unreadable
        return _skipped(unreadable, len(paths))


@checked
class Export(OfCheckpoint):
    """Export a network, trained under any backend, for TensorFlow Serving or another runtime.

    Writes OUTPUT/VERSION, the next free version, once its outputs have been found equal to the
    network's.
    """

    format: Literal[tuple(FORMATS)] = "saved_model"  # type: ignore[valid-type]
    """Format; see docs/formats.md."""
    output: Path | None = None
    """Folder of the versions. None: saved_models/NAME, other formats saved_models/NAME-FORMAT."""
    data: DataOptions = field(default_factory=DataOptions)

    def __call__(self) -> int:
        checkpoint = self.open()
        suffix = "" if self.format == "saved_model" else f"-{self.format}"
        output = self.output or Path("saved_models") / f"{Path(checkpoint.name).name}{suffix}"
        folder = export(checkpoint, output, self.format, dataset=self._dataset(checkpoint))
        print(f"Exported to {folder}")
        return 0

    def _dataset(self, checkpoint: Checkpoint) -> Dataset | None:
        """The images to verify with. A run's may be gone, and only int8 cannot do without."""
        named = self.data.dataset or self.data.data_dir or self.format.endswith("int8")
        try:
            return self.data.load(checkpoint)
        except (ImportError, OSError, ValueError) as error:
            if named:
                raise
            print(f"Note: verified on synthetic images: {error}", file=sys.stderr)
            return None


@checked
class Convert(OfCheckpoint):
    """Convert weights between Keras and PyTorch's libraries; reads them back and compares."""

    target: Annotated[Path, arg(metavar="TARGET")]
    """NAME.safetensors or NAME.pth (a state dict), NAME.weights.h5 or NAME.keras, or a folder in
    timm's layout."""
    naming: Literal[LIBRARIES] = LIBRARIES[0]  # type: ignore[valid-type]
    """Whose network a state dict is for: torchvision (and timm), mmpretrain, detectron2, or the
    CIFAR networks on GitHub of kuangliu, prlz77 (and bearpaw), d-x-y and weiaicunzai; lua is the
    original's, and sequential is nn.Sequential(*list(network.children())[:-2])."""

    def __call__(self) -> int:
        checkpoint = self.open()
        convert(checkpoint, self.target, self.naming)
        print(f"{self.target}: {checkpoint.architecture}, {checkpoint.classes or 'no'} classes")
        return 0


@checked
class Push(OfCheckpoint):
    """Publish a checkpoint on the Hugging Face Hub, with a model card; timm loads it too."""

    repo_id: Annotated[str, arg(metavar="OWNER/NAME")]
    """Repository to publish in."""
    private: bool = False
    """Make a new repository private."""

    def __call__(self) -> int:
        print(f"Pushed to {push_to_hub(self.open(), self.repo_id, private=self.private)}")
        return 0


@checked
class Compare:
    """Put runs side by side: what they reached, where their settings differ, their curves.

    Prints the tables and writes comparison.md and comparison.png.
    """

    runs: Annotated[tuple[Path, ...], arg(metavar="RUN ...", help_behavior_hint="")]
    """Folders of two or more runs, finished or not."""
    output_dir: Path = Path("runs/comparison")
    """Where to write."""

    def __call__(self) -> int:
        # `compare runs/*` comes upon what it wrote the last time.
        runs = [run for run in self.runs if run.resolve() != self.output_dir.resolve()]
        text = training.compare_runs(runs, self.output_dir)
        print(f"{text}\nWritten to {self.output_dir}: comparison.md, comparison.png")
        return 0


@checked
class Presets:
    """List the built-in pretrained weights. Nothing is downloaded."""

    write: Path | None = None
    """Markdown file to write instead, with sizes and sources, as docs/presets.md."""

    def __call__(self) -> int:
        if self.write:
            write_text(self.write, presets_page())
        else:
            print(presets_table())
        return 0


@checked
class Doctor:
    """Print versions and devices, and check every way to compute a convolution on this machine.

    Paste it into a bug report. The exit status is 1 if a check fails.
    """

    def __call__(self) -> int:
        from keras_resnext.doctor import doctor

        return 0 if doctor() else 1


COMMANDS: dict[str, Any] = {
    "train": Train,
    "evaluate": Evaluate,
    "predict": Predict,
    "explain": Explain,
    "export": Export,
    "convert": Convert,
    "push": Push,
    "presets": Presets,
    "compare": Compare,
    "doctor": Doctor,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error, which is one line; 2 for a wrong command line; 3 if some
        images could not be read; 128 + signal after a run was stopped by one.
    """
    words = [_plain(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    if arguments is None:
        tolerate_output()
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(COMMAND, __version__)
        return 0
    if words[0] not in COMMANDS:
        fail(f"there is no command {words[0]!r}; commands are {', '.join(COMMANDS)}")
        return 2
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; what matters to the user is printed
    try:
        command = _parse(COMMANDS[words[0]], words[0], words[1:])
        if isinstance(command, Train | Explain) and find_spec("tensorflow"):
            with hidden_start_up_lines():
                import tensorflow  # noqa: F401 - Keras will, under every backend
        return command()
    except (ValueError, ArithmeticError, ImportError, OSError, RuntimeError) as error:
        return fail(_as_typed(str(error), words))
    except training.Interrupted as stop:
        again = words if "--resume" in words else [*words, "--resume"]
        print(f"\n{stop}; continue with: {shlex.join([COMMAND, *again])}")
        return 128 + stop.signal_number


def _plain(word: str) -> str:
    """Write --run-name for --run_name, and a home for ~, which shells keep in --output-dir=~/runs.

    Else that would be a folder whose name is a tilde.
    """
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option.replace("_", "-") + equals + os.path.expanduser(value)


def _as_typed(message: str, words: Sequence[str]) -> str:
    """Name an argument that a message begins with as the option that the user typed."""
    name = message.partition(":")[0]
    option = f"--{name.replace('_', '-')}"
    typed = any(word.split("=")[0] == option for word in words)
    return option + message[len(name) :] if typed else message


def _help() -> str:
    lines = (f"  {name:8}  {kind.__doc__.splitlines()[0]}" for name, kind in COMMANDS.items())
    return (
        f"usage: {COMMAND} COMMAND ...\n       {COMMAND} --version\n\n"
        "ResNeXt for Keras 3: pretrained networks, training and export.\n\n"
        + "\n".join(lines)
        + f"\n\n`{COMMAND} COMMAND --help` explains its options. The environment variable\n"
        "KERAS_BACKEND chooses tensorflow, jax or torch."
    )


def _parse(kind: Any, name: str, arguments: list[str]) -> Callable[[], int]:
    """Read a command line into a dataclass, whose fields' docstrings are the help."""
    options: dict[str, Any] = {"default": kind.before(arguments)} if kind is Train else {}
    with _joined_help():
        return tyro.cli(
            kind,
            prog=f"{COMMAND} {name}",
            args=arguments,
            # Positional where there is no default, and no prefixes of nested dataclasses.
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs),
            **options,
        )


@contextmanager
def _joined_help() -> Iterator[None]:
    """Let tyro fill lines anew, where it would keep the line breaks of docstrings."""
    import docstring_parser

    parse = docstring_parser.parse_from_object

    def joined(subject):
        parsed = parse(subject)
        for parameter in parsed.params:
            parameter.description = " ".join((parameter.description or "").split()) or None
        return parsed

    docstring_parser.parse_from_object = joined  # type: ignore[assignment]
    try:
        yield
    finally:
        docstring_parser.parse_from_object = parse


def _folder(checkpoint: Checkpoint) -> Path:
    return checkpoint.folder or Path("runs", Path(checkpoint.name).name)


def _shown(batches: Iterable[T], count: int, batch_size: int) -> Iterator[T]:
    """Pass batches on, under a progress bar if there are several and a terminal to show it on."""
    from keras.utils import Progbar

    shown = count > batch_size and sys.stdout.isatty()  # Keras' bar goes there
    bar = Progbar(count, unit_name="image")
    for index, batch in enumerate(batches, start=1):
        if shown:
            bar.update(min(index * batch_size, count))
        yield batch


def _skipped(unreadable: dict[Path, str], count: int) -> int:
    for path, reason in unreadable.items():
        print(escape(f"skipped {path}: {reason}"), file=sys.stderr)
    if len(unreadable) == count:
        raise ValueError(f"images: none of {count} can be read")
    return SKIPPED if unreadable else 0
