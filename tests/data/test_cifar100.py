import functools
import hashlib
import io
import os
import pickle
import sys
import tarfile
from unittest import mock

import numpy as np
import pytest

from keras_resnext.data import DatasetError, cifar100, load_dataset
from keras_resnext.data.cifar100 import NAME, read_official, read_tfds
from keras_resnext.data.dataset import sort_by_content
from keras_resnext.preprocessing import whole_image
from tests.data.conftest import ONCE, parts, random_split

pytestmark = ONCE

# Of images, labels and superclass labels, in order: runs of other versions rely on them.
SPLITS = {
    45_000: "18b1adcb08d2f546b1649900023f544fb193fac3e36dd7d1cec3835ad89d632b",
    5_000: "b90e8603147eff610c9883ba0da96da8769639c61dd33d882e37c00f90288f4f",
    10_000: "6a6dfcb28cb310170d1d7164e99a8858fe342b73e5406328a1aea7dfa40bde79",
}


def assert_is_the_set(found):
    for part, (size, digest) in zip(parts(found), SPLITS.items(), strict=True):
        total = hashlib.sha256()
        for array in (part.images, part.labels, part.superclass_labels):
            total.update(array.tobytes())
        assert (len(part), total.hexdigest()) == (size, digest)


def test_order_and_split_are_those_of_every_version(cifar_folder):
    cifar = load_dataset("cifar100", cifar_folder / f"{NAME}.tar.gz")
    assert_is_the_set(cifar)
    assert cifar.preprocessing == whole_image(32, (129.3, 124.1, 112.4), (68.2, 65.4, 70.4))
    assert (cifar.class_names[19], cifar.superclass_names[11]) == (
        "cattle",
        "large_omnivores_and_herbivores",
    )


def test_the_files_in_another_order_as_tfds_has_them_give_the_same(cifar_folder, monkeypatch):
    train, test, *names = read_official(cifar_folder / NAME)
    order = np.random.default_rng(0).permutation(50_000)
    monkeypatch.setattr(cifar100, "read_tfds", lambda: (train.take(order), test, *names))
    assert_is_the_set(load_dataset("cifar100"))
    test.images[77, 0, 0, 0] ^= 1
    with pytest.raises(DatasetError, match="the test images from TensorFlow Datasets are not th"):
        load_dataset("cifar100")


# The official files, small ones in their place


def official(rows, first):
    """What an official file holds, with the names of the NumPy of its time."""
    content = {
        b"data": np.full((rows, 3072), first, np.uint8),
        b"fine_labels": list(range(rows)),
        b"coarse_labels": [0] * rows,
        b"fine_label_names": [b"cat", b"dog"],
        b"coarse_label_names": [b"pet"],
    }
    return pickle.dumps(content, protocol=3).replace(b"numpy._core.", b"numpy.core.")


CONTENTS = {"train": official(2, 1), "test": official(1, 2), "meta": official(0, 0)}


def add(tar, name, content=b"", kind=tarfile.REGTYPE, target=""):
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, target
    tar.addfile(member, io.BytesIO(content))


def make_tar(path, contents=CONTENTS, mode="w:gz", prefix=f"{NAME}/"):
    with tarfile.open(path, mode) as tar:
        for name, content in contents.items():
            add(tar, prefix + name, content)
    return path


def make_folder(path, contents=CONTENTS):
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def assert_is_small(path):
    train, test, classes, superclasses = read_official(path)
    assert [split.images[0, 0, 0, 0] for split in (train, test)] == [1, 2]
    assert train.labels.tolist() == [0, 1]
    assert (classes, superclasses) == (("cat", "dog"), ("pet",))


def test_the_archive_or_the_unpacked_folder_may_lie_within_a_folder(tmp_path):
    os.mkfifo(tmp_path / f"{NAME}.tar")  # which would be waited for, without end
    archive = make_tar(tmp_path / f"{NAME}.tar.gz")
    assert_is_small(tmp_path)
    archive.unlink()
    assert_is_small(make_folder(tmp_path / NAME))
    assert_is_small(tmp_path)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("prefix", [f"{NAME}/", f"./{NAME}/", ""])
def test_an_archive_of_any_packing_under_any_name(tmp_path, mode, prefix):
    assert_is_small(make_tar(tmp_path / "download", mode=mode, prefix=prefix))


def test_what_is_no_archive_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=rf"nowhere does not exist.*{NAME}.tar.gz from http"):
        read_official(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="holds no CIFAR-100"):
        read_official(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="pipe is no archive and no folder"):
        read_official(tmp_path / "pipe")
    (tmp_path / "page.html").write_text("<html>404</html>" * 100)
    with pytest.raises(DatasetError, match="no tar archive"):
        read_official(tmp_path / "page.html")
    other = make_tar(tmp_path / "a.tar.gz", {"data_batch_1": b"1"}, prefix="cifar-10-batches-py/")
    with pytest.raises(DatasetError, match="lacks train, test, meta"):
        read_official(other)


@pytest.mark.parametrize("kept", [0, 0.1, 0.6])
def test_a_truncated_archive_is_refused(tmp_path, kept):
    contents = CONTENTS | {"train": np.random.default_rng(0).bytes(100_000)}
    whole = make_tar(tmp_path / "whole.tar.gz", contents).read_bytes()
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DatasetError, match="damaged, incomplete or no tar archive"):
        read_official(path)


@pytest.mark.parametrize("make", [make_tar, make_folder])
def test_a_file_missing_or_changed_is_named(tmp_path, make):
    some = {name: content for name, content in CONTENTS.items() if name != "test"}
    with pytest.raises(DatasetError, match=rf"lacks test of {NAME}"):
        read_official(make(tmp_path / "a", some))
    for number, changed in enumerate((CONTENTS["train"][:-9], b"x", b"")):
        with pytest.raises(DatasetError, match="does not hold the official files: "):
            read_official(make(tmp_path / f"{number}", CONTENTS | {"train": changed}))


def test_links_lead_nowhere_and_nothing_is_written(tmp_path):
    (tmp_path / "secret").write_bytes(CONTENTS["train"])
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, f"{NAME}/train", kind=tarfile.SYMTYPE, target=str(tmp_path / "secret"))
        add(tar, f"../{NAME}/train", CONTENTS["train"])
        add(tar, str(tmp_path / "evil"), b"x")
        for name in ("test", "meta"):
            add(tar, f"{NAME}/{name}", CONTENTS[name])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError, match="lacks train"):
        read_official(tmp_path / "a.tar")
    assert sorted(tmp_path.rglob("*")) == before


class Touch:
    """Unpickled by the standard library, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_is_not_run(tmp_path):
    victim = tmp_path / "made"
    content = pickle.dumps(Touch(victim), protocol=2)
    folder = make_folder(tmp_path / NAME, dict.fromkeys(CONTENTS, content))
    with pytest.raises(DatasetError, match=r"(posix|nt)\.mkdir is not allowed"):
        read_official(folder)
    assert not victim.exists()
    pickle.loads(content)
    assert victim.exists(), "the file must be one that would have run code"


# TensorFlow Datasets


@pytest.fixture
def tfds(tmp_path, monkeypatch):
    """TensorFlow Datasets, with an empty folder in which it keeps its data."""
    tfds = pytest.importorskip("tensorflow_datasets")
    home = tmp_path / "tensorflow_datasets"
    monkeypatch.setattr(tfds, "builder", functools.partial(tfds.builder, data_dir=home))
    return tfds


def test_it_is_prepared_once_and_then_read_without_network(tfds, tmp_path, monkeypatch):
    train, test = random_split(9, size=32, seed=1), random_split(5, size=32, seed=2)
    downloaded = tmp_path / "cifar-100-binary"  # as the official binary archive unpacks
    downloaded.mkdir()
    for split, name in ((train, "train.bin"), (test, "test.bin")):
        labels = np.stack([split.superclass_labels, split.labels], axis=1).astype(np.uint8)
        pixels = split.images.transpose(0, 3, 1, 2).reshape(len(split), -1)
        (downloaded / name).write_bytes(np.concatenate([labels, pixels], axis=1).tobytes())
    for count, kind in ((100, "fine"), (20, "coarse")):
        names = "\n".join(f"{kind}_{i}" for i in range(count))
        (downloaded / f"{kind}_label_names.txt").write_text(names + "\n\n")
    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", lambda *_: str(tmp_path))
    monkeypatch.setattr(cifar100.urllib.request, "urlopen", mock.Mock())
    for _ in range(2):
        found = read_tfds()
        for split, expected in zip(found, (train, test), strict=False):
            assert sort_by_content(split)[1] == sort_by_content(expected)[1]
        assert (found[2][99], found[3][19]) == ("fine_99", "coarse_19")
        monkeypatch.setattr(cifar100.urllib.request, "urlopen", mock.Mock(side_effect=OSError))


def test_offline_it_says_what_to_do_and_tries_nothing(tfds, monkeypatch):
    offline = mock.Mock(side_effect=OSError("no route to host"))
    monkeypatch.setattr(cifar100.urllib.request, "urlopen", offline)
    with (
        mock.patch.object(tfds.core.DatasetBuilder, "download_and_prepare", offline),
        pytest.raises(DatasetError, match=r"no route to host.*cifar-100-python.tar.gz.*--data-dir"),
    ):
        load_dataset("cifar100")
    assert offline.call_count == 1
    assert offline.call_args.kwargs == {"timeout": 5}


@pytest.mark.parametrize("module", ["tensorflow_datasets", "tensorflow"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module}.*pip install "keras-resnext\[tfds,tensor'):
        load_dataset("cifar100")
