"""The command line, by a run of its own from training to export."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import keras
import pytest

from keras_resnext import ResNeXt, cli, data, inference, training
from keras_resnext.checkpoint import write_checkpoint
from keras_resnext.preprocessing import whole_image
from keras_resnext.training import Settings
from tests.training.tiny import tiny_demo

ONLY_TENSORFLOW = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="the same under every backend"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a trained run in it, as the working directory."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(data, "load_demo", tiny_demo)
        assert cli.main(["train", "--epochs", "1", "--batch-size", "12"]) == 0
        yield folder


def run(capsys, *words):
    status = cli.main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_one_epoch_of_the_default_recipe_shortens_its_phases(folder):
    settings = (folder / "runs/quickstart/settings.toml").read_text()
    assert "epochs = 1\n" in settings
    assert "warmup_epochs = 0.125" in settings


def test_each_command_takes_the_run_as_its_checkpoint(folder, capsys):
    status, out, _ = run(capsys, "evaluate", "runs/quickstart")
    assert status == 0
    assert "top5" in out
    report = json.loads((folder / "runs/quickstart/evaluation/test/report.json").read_text())
    results = json.loads((folder / "runs/quickstart/results.json").read_text())
    assert report["top1"] == pytest.approx(results["test_accuracy_best"], abs=2e-3)

    examples = sorted(map(str, (folder / "runs/quickstart/examples").iterdir()))
    status, out, _ = run(
        capsys, "predict", "runs/quickstart", examples[0], "--top", "2", "--json=-"
    )
    guesses = json.loads(out)["predictions"][0]["top"]
    assert status == 0
    assert len(guesses) == 2

    status, out, _ = run(capsys, "explain", "runs/quickstart", examples[0], "--output-dir", "maps")
    assert status == 0
    assert guesses[0]["class"] in out
    assert len(list(Path("maps").iterdir())) == 1

    status, _, _ = run(capsys, "convert", "runs/quickstart", "mine.safetensors")
    assert status == 0
    assert Path("mine.safetensors").stat().st_size > 1e6


def test_a_file_that_cannot_be_read_is_reported_and_skipped(folder, capsys):
    Path("bro\nken.png").write_bytes(b"\x89PNG\r\n")
    good = str(next((folder / "runs/quickstart/examples").iterdir()))
    status, out, err = run(capsys, "predict", "runs/quickstart", good, "bro\nken.png")
    assert status == cli.SKIPPED
    assert err.startswith(r"skipped bro\nken.png: ")
    assert "ken.png" not in out
    status, _, err = run(capsys, "predict", "runs/quickstart", "bro\nken.png")
    assert status == 1
    assert "none of 1 can be read" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "resnext50_32x4d.a1_in2k", "x.png"), "x.png"),
        (("predict", "runs/quickstart", "a\x1b[2J.png"), r"a\x1b[2J.png"),
        (("evaluate", "resnext50_32x4d.a1_in2k"), "did you mean resnext50_32x4d.a1"),
        (("evaluate", "resnext50_32x4d.a1_in1k"), "--dataset"),
        (("evaluate", "runs/quickstart", "--dataset=cifar100", "--data-dir=x"), "--data-dir: x"),
        (("train", "--recipe", "papers"), "papers"),
        (("train", "--epochs", "2", "--warmup-epochs", "2"), "--warmup-epochs"),
        (("train", "--resume", "--run-name", "nobody"), "nobody"),
        (("evaluate", "runs/quickstart", "--batch-size=0"), "--batch-size"),
        (("predict", "runs/quickstart", "x.png", "--top", "0"), "--top"),
        (("export", "runs/nobody"), "runs/nobody"),
        (("compare", "runs/quickstart"), "two runs"),
        (("convert", "runs/quickstart", "mine.onnx"), "mine.onnx"),
    ],
)
def test_an_error_is_one_line_that_names_the_input(folder, capsys, words, said):
    try:
        status, _, err = run(capsys, *words)
    except SystemExit as stop:  # by tyro, which shows what is wrong in a box
        status, err = stop.code, capsys.readouterr().err
        assert status == 2
        assert said.removeprefix("--") in err
        return
    assert status == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


@pytest.mark.parametrize(
    ("words", "place", "said"),
    [
        ("evaluate runs/quickstart --output-dir", "settings.toml/x", "settings.toml/x: Not a dir"),
        ("explain runs/quickstart runs/quickstart/examples --output-dir", "results.json", "cannot"),
        ("predict runs/quickstart runs/quickstart/examples --json", "settings.toml/x", "cannot"),
        ("predict runs/quickstart runs/quickstart/examples --json", "examples", "no regular file"),
    ],
)
def test_what_cannot_be_written_is_found_before_the_work(
    folder, capsys, monkeypatch, words, place, said
):
    for name in ("evaluate", "GradCAM", "open_classifier"):
        monkeypatch.delattr(inference, name)
    status, _, err = run(capsys, *words.split(), f"runs/quickstart/{place}")
    assert status == 1
    assert said in err


def test_help_lists_the_commands(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert all(name in out for name in cli.COMMANDS)
    assert run(capsys, "--version")[:2] == (0, f"keras-resnext {version('keras-resnext')}\n")
    status, _, err = run(capsys, "trian", "--epochs", "3")
    assert status == 2
    assert err.startswith("error: there is no command 'trian'; commands are train, evaluate")


@ONLY_TENSORFLOW
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_has_headings_for_people_and_explains_each_option(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    text = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    positional = re.sub(r"\[.*?\]", "", text.splitlines()[0])
    assert not {"STR", "PATH"} & {*positional.split()}  # but CHECKPOINT, for instance
    headings = re.findall(r"^(?:╭─)? (\S+ options|options) ", text, re.M)
    assert headings
    assert not any("." in heading or "settings" in heading for heading in headings)
    lines = "\n".join(line.strip("│| ") for line in text.splitlines())
    assert not re.findall(r"^--\S+(?: \S+)*\s+[(]default.*", lines, re.M)  # without a word on it


def test_options_are_switched_off_and_set_to_nothing_as_the_help_says(folder, capsys):
    line = "train --dry-run --recipe finetune --dataset demo --model resnext11 --weights None "
    line += "--no-flip --policy none --small-sizes 16 --small-until 2 --squeeze-excitation True"
    status, out, _ = run(capsys, *line.split())
    assert status == 0
    assert "weights: random" in out
    assert "SE-ResNeXt-11 32x4d" in out
    assert "flip = false" in out
    assert 'policy = "none"' in out
    assert "small_sizes = [\n    16,\n]" in out
    assert not Path("runs/finetune").exists()


def test_all_runs_are_compared_again_beside_what_the_first_time_wrote(folder, tmp_path, capsys):
    for name in ("one", "two"):
        shutil.copytree("runs/quickstart", tmp_path / name)
    for _ in range(2):
        runs = sorted(map(str, tmp_path.iterdir()))
        status, out, _ = run(capsys, "compare", *runs, "--output-dir", f"{tmp_path}/comparison")
        assert status == 0
        assert "\n| two | " in out


def test_a_tilde_is_the_home_wherever_it_is_typed(folder, capsys, monkeypatch):
    """Shells leave `--output-dir=~/runs` as it is."""
    monkeypatch.setenv("HOME", str(folder))
    for words in (["--output-dir=~/runs"], ["--output_dir", "~/runs"]):
        _, _, err = run(capsys, "train", "--resume", "--run_name", "nobody", *words)
        assert f"no run {folder}/runs/nobody" in err
        assert "runs there: quickstart" in err


def test_a_stopped_run_goes_on_with_all_options_that_were_typed(folder, capsys, monkeypatch):
    def stop(*_):
        raise training.Interrupted(signal.SIGTERM)

    monkeypatch.setattr(training, "train", stop)
    typed = "train", "--run-name", "my run", "--checkpoint-every", "50"
    status, out, _ = run(capsys, *typed)
    assert status == 128 + signal.SIGTERM
    again = "train --run-name 'my run' --checkpoint-every 50 --resume\n"
    assert out.endswith(f"stopped by SIGTERM; continue with: keras-resnext {again}")
    status, out, _ = run(capsys, "train", "--resume", "--run_name=quickstart")
    assert out.endswith("keras-resnext train --resume --run-name=quickstart\n")


@ONLY_TENSORFLOW
def test_an_export_answers_by_the_script_without_a_line_of_any_library(folder):
    examples = "runs/quickstart/examples"
    for script, *words in (("export", "runs/quickstart"), ("predict", "runs/quickstart", examples)):
        path = Path(__file__).parents[1] / "scripts" / f"{script}.py"
        done = subprocess.run([sys.executable, path, *words], capture_output=True, text=True)
        assert done.returncode == 0
        assert [line for line in done.stderr.splitlines() if "warm-up" not in line] == []
    assert Path("saved_models/quickstart/1/saved_model.pb").is_file()
    assert len(done.stdout.splitlines()) > 12


def test_a_run_whose_images_are_gone_is_exported_on_others(tmp_path, capsys):
    network = ResNeXt((1,), cardinality=1, input_shape=(8, 8, 3), classes=2)
    write_checkpoint(tmp_path, network, preprocessing=whole_image(8))
    export = cli.Export(checkpoint=str(tmp_path))
    for name in (300 * "x", "gone"):  # the first cannot even be looked for, as where one may not
        gone = Settings().change(dataset="folder", data_dir=tmp_path / name)
        (tmp_path / "settings.toml").write_text(gone.to_toml())
        assert export._dataset(export.open()) is None
        assert "Note: verified on synthetic images: " in capsys.readouterr().err
    with pytest.raises(ValueError, match="gone does not exist"):
        replace(export, format="onnx-int8")._dataset(export.open())


@ONLY_TENSORFLOW
def test_a_backend_that_is_not_installed_is_one_line():
    path = Path(__file__).parents[1] / "scripts/train.py"
    done = subprocess.run(
        [sys.executable, path, "--help"],
        env=os.environ | {"KERAS_BACKEND": "torhc"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "torhc" in done.stderr


@ONLY_TENSORFLOW
def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path):
    (tmp_path / "keras.py").write_text("raise KeyboardInterrupt")
    path = Path(__file__).parents[1] / "scripts/train.py"
    done = subprocess.run(
        [sys.executable, path],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "\nStopped.\n")
