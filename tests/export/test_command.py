import typing

from keras_resnext.commands.export import ExportCommand, main
from keras_resnext.export.formats.table import FORMATS
from tests.training.tiny import shrink


def test_another_format_by_the_same_command(run, tmp_path, capsys, monkeypatch):
    shrink(monkeypatch)
    assert main([str(run), "--format", "keras", "--name", "q", "--output-dir", str(tmp_path)]) == 0
    written = {path.name for path in (tmp_path / "q-keras/1").iterdir()}
    assert written == {"model.keras", "labels.txt", "preprocessing.json"}
    printed = capsys.readouterr().out
    assert "Largest difference from the trained network" in printed
    assert f"Exported to {tmp_path / 'q-keras/1'}" in printed


def test_offers_every_format():
    offered = typing.get_args(typing.get_type_hints(ExportCommand)["format"])
    assert set(offered) == {"saved_model", *FORMATS}
