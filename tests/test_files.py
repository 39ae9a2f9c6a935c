import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
from unittest import mock

import pytest

from keras_resnext import console, files
from keras_resnext.console import hidden_start_up_lines
from keras_resnext.files import UNFINISHED, atomic_write, locked, write_json, write_text

# By its path: importing the package would import a backend, which takes seconds.
LOAD = f"""
import importlib.util, pathlib, sys, time
spec = importlib.util.spec_from_file_location("files", {files.__file__!r})
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
path = pathlib.Path(sys.argv[1])
"""


def run(code, path, shell='"$0" "$@"'):
    """Run code in a process of its own, which finds `files` and `path`."""
    return subprocess.Popen(
        ["sh", "-c", f"exec {shell}", sys.executable, "-c", LOAD + code, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )


# Writing


def test_writes(tmp_path):
    for text in ("ä", "ö"):
        write_text(tmp_path / "a.txt", text)
    assert (tmp_path / "a.txt").read_bytes() == "ö".encode()
    write_json(tmp_path / "a.json", {"name": "한"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"name": "한"}
    write_text(tmp_path / (250 * "x"), "long")
    assert len(list(tmp_path.iterdir())) == 3


def test_leaves_the_old_file_where_writing_fails(tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_text("old")

    def fail():
        with atomic_write(path) as temporary:
            assert temporary.name.endswith(".weights.h5")
            assert temporary.parent == path.parent
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_says_what_cannot_be_written_and_why(tmp_path):
    write_text(tmp_path / "new/folder/a.txt", "x")
    with pytest.raises(OSError, match=r"cannot write .*folder/a\.txt/b: File exists"):
        write_text(tmp_path / "new/folder/a.txt/b", "x")
    os.mkfifo(tmp_path / "pipe")  # such as /dev/stdout, which root could replace by a file
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match=rf"cannot write {path}: .* no regular file"):
            write_text(path, "x")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


def test_a_folder_on_a_read_only_file_system_is_refused(tmp_path, monkeypatch):
    files.check_writable(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())
    full = OSError(errno.EROFS, os.strerror(errno.EROFS))
    monkeypatch.setattr(tempfile, "TemporaryFile", mock.Mock(side_effect=full))
    with pytest.raises(OSError, match=r"cannot write to .*new: Read-only file system"):
        files.check_writable(tmp_path / "new")


def test_file_then_name_then_folder_reach_the_disk(tmp_path, monkeypatch):
    reached = []
    rename = os.replace

    def note_fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        reached.append("folder" if is_folder else "file")

    def note_rename(source, target):
        reached.append("name")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_rename)
    write_text(tmp_path / "a.txt", "x")
    assert reached == ["file", "name", "folder"]


def test_of_two_writers_of_one_path_the_last_to_finish_wins(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as first:
        first.write_text("first")
        write_text(path, "second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path):
    code = (
        "folder = files.unfinished(path / 'model')\n"
        "folder.mkdir(); (folder / 'x').touch()\n"
        "with files.atomic_write(path / 'a.txt') as temporary:\n"
        "    temporary.touch(); print('ready', flush=True); time.sleep(600)\n"
    )
    process = run(code, tmp_path)
    process.stdout.readline()
    (tmp_path / f"{UNFINISHED}another-host-1").touch()
    write_text(tmp_path / "b.txt", "x")
    left = {path.name for path in tmp_path.glob(f"{UNFINISHED}*")}
    assert len(left) == 3, "a process that lives is still writing"
    process.kill()
    process.communicate()
    write_text(tmp_path / "b.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{UNFINISHED}another-host-1",
        "b.txt",
    ]


# Locks


def test_a_lock_is_held_by_one_and_released_by_a_kill(tmp_path):
    code = (
        "with files.locked(path, 'the run x'):\n    print('ready', flush=True); time.sleep(600)\n"
    )
    process = run(code, tmp_path)
    process.stdout.readline()
    message = rf"^the run x is already running: another process holds {tmp_path}\. Wait"
    with pytest.raises(BlockingIOError, match=message), locked(tmp_path, "the run x"):
        pass
    process.kill()
    process.communicate()
    with (
        locked(tmp_path, "the run x"),
        pytest.raises(BlockingIOError, match="already running"),
        locked(tmp_path, "the run x"),
    ):
        pass


# Printing


def test_tables_line_up_whatever_the_characters():
    width = {"abc": 3, "한국": 4, "ｗｉ": 4, "e\u0301": 1, "a\nb": 4, "\x1b": 4}
    lines = files.table([text, "|"] for text in width).splitlines()
    for line, (text, columns) in zip(lines, width.items(), strict=True):
        shown = files.escape(text)
        assert line == shown + (4 - columns + 2) * " " + "|"
        assert shown.isprintable() or "\u0301" in shown
    assert files.table([["a\tb\u202e", ""]]) == r"a\tb\u202e"
    assert files.table([["a\u200db", ""]]) == "a\u200db"


@pytest.mark.parametrize("output", ["closed", "gone", "ascii"])
def test_no_output_loses_the_work(tmp_path, output):
    code = (
        "files.tolerate_output()\n"
        "for i in range(20_000): print('한', i, flush=i % 100 == 0)\n"
        "path.write_text('done')\n"
    )
    shell = {"closed": '"$0" "$@" >&-', "gone": '"$0" "$@" | head -1'}.get(output, '"$0" "$@"')
    process = run(code, tmp_path / "x", shell)
    out, error = process.communicate()
    assert process.returncode == 0
    assert (tmp_path / "x").read_text() == "done"
    assert "Error" not in error
    assert out.splitlines()[:1] == ([] if output == "closed" else [r"\ud55c 0"])


def test_a_closed_standard_error_hides_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with hidden_start_up_lines():
        pass


def test_plots_say_what_they_need(monkeypatch):
    assert files.figure(figsize=(1, 1)).get_figwidth() == 1
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'plots need matplotlib. Type: pip install "keras-resn'):
        files.figure()


def test_a_command_starts_anew_for_huge_pages_once_and_where_they_are_for_who_asks(
    monkeypatch, tmp_path
):
    restarts = []
    monkeypatch.setattr(os, "execve", lambda *call: restarts.append(call))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "scripts/train.py", "--resume"])
    monkeypatch.setattr(console, "HUGE_PAGES", tmp_path / "enabled")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    console.restart_with_huge_pages()
    for choice in ("[always] madvise never", "always madvise [never]", "always [madvise] never"):
        assert not restarts
        (tmp_path / "enabled").write_text(choice)
        console.restart_with_huge_pages()
    [(python, words, environment)] = restarts
    assert [python, *words] == [sys.executable] * 2 + ["-X", "dev", "scripts/train.py", "--resume"]
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.check=3:glibc.malloc.hugetlb=1"
    monkeypatch.setenv("GLIBC_TUNABLES", environment["GLIBC_TUNABLES"])
    console.restart_with_huge_pages()
    assert len(restarts) == 1
