"""The command line of `scripts/presets.py`."""

from dataclasses import dataclass
from pathlib import Path

from keras_resnext.commands.line import parse, status
from keras_resnext.files import write_text
from keras_resnext.presets import PRESETS
from keras_resnext.presets.card import preset_card
from keras_resnext.presets.counts import count
from keras_resnext.presets.listing import as_page, as_text


@dataclass(frozen=True)
class PresetsCommand:
    """List the published weights, or print the model cards of some.

    Nothing is downloaded.
    """

    names: tuple[str, ...]
    """Whose cards to print, such as resnext50_32x4d.a1_in1k; none: all in one table."""
    write: Path | None = None
    """Folder to write instead: README.md, the table, and NAME.md, the card of each set."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, print or write.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error.
    """
    return status(lambda: _main(parse(PresetsCommand, arguments)))


def _main(command: PresetsCommand) -> int:
    for name in command.names:
        if name not in PRESETS:
            raise ValueError(f"there is no {name!r}; without a name, all are listed")
    if command.write:
        if command.names:
            raise ValueError("--write writes every card; leave the names out")
        _write(command.write)
    elif command.names:
        print("\n".join(_card(name) for name in command.names), end="")
    else:
        print(as_text(PRESETS))
    return 0


def _card(name):
    return preset_card(PRESETS[name], count(PRESETS[name]))


def _write(folder):
    pages = {"README": as_page(PRESETS, {name: count(PRESETS[name]) for name in PRESETS})}
    pages |= {name: _card(name) for name in PRESETS}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_text(folder / f"{name}.md", text)
    print(f"Written to {folder}: README.md and {len(PRESETS)} cards")
