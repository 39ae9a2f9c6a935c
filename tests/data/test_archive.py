import io
import tarfile

import pytest

from keras_resnext.data import DatasetError
from keras_resnext.data.archive import BINARY, PYTHON, read_files

FILES = {"train": b"training images", "test": b"test", "meta": b"names"}


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    for name, content in FILES.items():
        monkeypatch.setitem(PYTHON.sizes, name, len(content))


def add(tar, name, content=b"", kind=tarfile.REGTYPE, target=""):
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, target
    tar.addfile(member, io.BytesIO(content))


def make_tar(path, files=FILES, mode="w:gz", prefix="cifar-100-python/"):
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            add(tar, prefix + name, content)
    return path


def make_folder(path, files=FILES):
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def test_the_unpacked_folder_or_the_one_around_it(tmp_path):
    folder = make_folder(tmp_path / "cifar-100-python")
    assert read_files(folder) == (PYTHON, FILES)
    assert read_files(str(tmp_path)) == (PYTHON, FILES)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_of_any_compression_under_any_name(tmp_path, mode):
    assert read_files(make_tar(tmp_path / "download", mode=mode)) == (PYTHON, FILES)


@pytest.mark.parametrize("prefix", ["./cifar-100-python/", ""])
def test_other_packings_of_the_files(tmp_path, prefix):
    assert read_files(make_tar(tmp_path / "a.tar.gz", prefix=prefix)) == (PYTHON, FILES)


def test_the_archive_within_a_folder(tmp_path):
    make_tar(tmp_path / "cifar-100-python.tar.gz")
    assert read_files(tmp_path) == (PYTHON, FILES)


def test_unrelated_members_are_passed_over(tmp_path):
    files = FILES | {"file.txt~": b"left over", "more/train": b"another file of that name"}
    assert read_files(make_tar(tmp_path / "a.tar", files, "w")) == (PYTHON, FILES)


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere does not exist.*cifar-100-python.tar.gz"):
        read_files(tmp_path / "nowhere")


def test_a_folder_with_nothing_useful_lists_what_was_looked_for(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(DatasetError) as error:
        read_files(tmp_path)
    for sought in ("cifar-100-python/", "cifar-100-binary.tar.gz", "meta", "train.bin"):
        assert sought in str(error.value)


@pytest.mark.parametrize("kept", [0, 0.1, 0.6])
def test_a_truncated_archive(tmp_path, kept):
    whole = make_tar(tmp_path / "whole.tar.gz").read_bytes()
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DatasetError, match="damaged, incomplete or no tar archive"):
        read_files(path)


def test_a_damaged_archive(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.tar\.gz"):
        read_files(path)


def test_a_file_that_is_no_archive(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<html>404</html>" * 100)
    with pytest.raises(DatasetError, match="no tar archive"):
        read_files(path)


def test_an_archive_of_something_else(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz", {"data_batch_1": b"1"}, prefix="cifar-10-batches-py/")
    with pytest.raises(DatasetError, match=r"without CIFAR-100.*cifar-100-binary/train.bin"):
        read_files(path)


@pytest.mark.parametrize("make", [make_tar, make_folder])
def test_a_missing_file_is_named(tmp_path, make):
    files = {name: content for name, content in FILES.items() if name != "test"}
    with pytest.raises(DatasetError, match="lacks test of cifar-100-python"):
        read_files(make(tmp_path / "there", files))


@pytest.mark.parametrize("make", [make_tar, make_folder])
def test_a_file_of_the_wrong_size_is_named(tmp_path, make):
    with pytest.raises(DatasetError, match=r"train in .* has 7 bytes, the official file 15"):
        read_files(make(tmp_path / "there", FILES | {"train": b"partial"}))


def test_binary_files_of_the_wrong_length(tmp_path):
    folder = make_folder(tmp_path / "there", {"train.bin": bytes(3074)})
    with pytest.raises(DatasetError, match=r"train.bin in .* has 3074 bytes"):
        read_files(folder)
    (folder / "train.bin").unlink()
    (folder / "fine_label_names.txt").write_bytes(b"name\n" * 1000)
    with pytest.raises(DatasetError, match=r"fine_label_names.txt .* at most 4096"):
        read_files(folder)


def test_links_lead_nowhere(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(FILES["train"])
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as tar:
            add(tar, "cifar-100-python/train", kind=kind, target=str(secret))
            add(tar, "cifar-100-python/test", FILES["test"])
            add(tar, "cifar-100-python/meta", FILES["meta"])
        with pytest.raises(DatasetError, match="lacks train"):
            read_files(path)


def test_nothing_is_ever_written(tmp_path, monkeypatch):
    work = tmp_path / "inner" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "../../evil", b"x")
        add(tar, str(tmp_path / "evil"), b"x")
        add(tar, "../cifar-100-python/train", b"not this one")
        for name, content in FILES.items():
            add(tar, f"cifar-100-python/{name}", content)
    before = sorted(tmp_path.rglob("*"))
    assert read_files(tmp_path / "a.tar") == (PYTHON, FILES)
    assert sorted(tmp_path.rglob("*")) == before


def test_binary_is_found_too(tmp_path, monkeypatch):
    files = dict.fromkeys(BINARY.sizes, b"0123")
    for name in ("train.bin", "test.bin"):
        monkeypatch.setitem(BINARY.sizes, name, 4)
    make_folder(tmp_path / "cifar-100-binary", files)
    assert read_files(tmp_path) == (BINARY, files)
