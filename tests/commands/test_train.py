import pytest

from keras_resnext.commands.train import main, parse_train
from keras_resnext.training.recipes import RECIPES


def test_recipe_gives_the_defaults_and_options_override():
    options = "--epochs 30 --milestones 10 20 --no-flip --data-dir x --workers 0"
    command = parse_train(["--recipe", "paper", *options.split()])
    assert command.settings.epochs == 30
    assert command.settings.milestones == (10, 20)
    assert not command.settings.flip
    assert command.settings.weight_decay == RECIPES["paper"].weight_decay
    assert (command.options.workers, command.options.run_name) == (0, "paper")


def test_resumed_run_gives_the_defaults(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/settings.toml").write_text(RECIPES["grouped1x1"].to_toml())
    command = parse_train(f"--resume --run-name mine --output-dir {tmp_path} --epochs 250".split())
    assert command.settings.model == "resnext50"
    assert command.settings.epochs == 250


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--recipe papre", "error: recipe: expected one of quickstart, paper, grouped1x1"),
        ("--resume --run-name no --output-dir no", "error: there is no run no/no"),
        ("--data-dir nowhere --recipe paper --dry-run", "nowhere"),
    ],
)
def test_bad_input_ends_in_one_line(arguments, message, capsys):
    assert main(arguments.split()) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--modle resnext50", "--modle"),
        ("--model resnext51", "--model"),
        ("--epochs many", "--epochs"),
        ("--learning-rate -1", "learning_rate: expected more than 0, got -1.0"),
        ("--run-name a/b", "run_name: expected a plain name, got 'a/b'"),
    ],
)
def test_impossible_options_end_with_the_usual_status(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    assert end.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["--recipe", "paper", "--help"])
    text = capsys.readouterr().out
    for words in ("--weight-decay-kind", "--checkpoint-every", "(default: 300)", "--dry-run"):
        assert words in text
