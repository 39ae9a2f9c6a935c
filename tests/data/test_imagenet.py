import csv
import shutil
import tarfile

import numpy as np
import pytest

from keras_resnext import architecture
from keras_resnext.checkpoint import open_checkpoint
from keras_resnext.data import DatasetError, load_dataset
from keras_resnext.preprocessing import Preprocessing, imagenet_class_names, whole_image
from keras_resnext.training import RECIPES, RunOptions, dry_run, train
from tests.data.conftest import ONCE, numbers, plain, write_classes

pytestmark = ONCE
EVERY = imagenet_class_names()
CRANES = ("n02012849", "n03126707")  # a bird and a machine
SOME = ("n01440764", *CRANES)
LABELS = (0, 134, 517)


def load(folder, class_names=None):
    return load_dataset("imagenet", folder, whole_image(4), class_names)


def samples(split):
    return list(zip(numbers(split), split.labels.tolist(), strict=True))


@pytest.fixture
def flat(tmp_path):
    """Three classes in train/, and four official images in val/, without labels."""
    write_classes(tmp_path / "train", dict.fromkeys(SOME, 2))
    (tmp_path / "val").mkdir()
    for number in range(1, 5):
        plain(number).save(tmp_path / f"val/ILSVRC2012_val_{number:08}.JPEG", "PNG")
    return tmp_path


def write_devkit(folder, ids):
    """The development kit as it comes: classes numbered in an order of its own, from 1."""
    savemat = pytest.importorskip("scipy.io").savemat
    data = folder / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("words", object)]
    known = sorted(set(ids), reverse=True)
    synsets = [[(number, name, "a word")] for number, name in enumerate(known, start=1)]
    savemat(data / "meta.mat", {"synsets": np.array(synsets, kinds)})
    truth = "".join(f"{1 + known.index(name)}\n" for name in ids)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)


def test_train_and_val_in_folders(tmp_path):
    write_classes(tmp_path / "train", dict.fromkeys(SOME, 2))
    write_classes(tmp_path / "val", {CRANES[1]: 1, SOME[0]: 1}, first=6)
    shutil.copy(tmp_path / "train/n01440764/0.png", tmp_path / "train/n01440764/1.JPEG")
    (tmp_path / "train/n01440764/notes.txt").touch()
    (tmp_path / "train/n01440764/._0.png").touch()
    dataset = load(tmp_path)
    assert dataset.class_names == tuple(EVERY[label] for label in LABELS)
    assert samples(dataset.train) == [(0, 0), (0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert samples(dataset.validation) == samples(dataset.test) == [(7, 0), (6, 2)]
    # A published checkpoint has all 1000 classes, one trained on some of them its own.
    every, few = load(tmp_path, EVERY), load(tmp_path, (EVERY[517], EVERY[3]))
    assert every.class_names == EVERY
    assert samples(every.test) == [(7, 0), (6, 517)]
    assert (samples(few.test), len(few.train)) == ([(6, 0)], 2)


def test_a_folder_of_classes_is_to_evaluate_on(tmp_path, capsys):
    write_classes(tmp_path, {**dict.fromkeys(SOME, 1), "__MACOSX": 1})
    dataset = load(tmp_path)
    assert (len(dataset.train), dataset.class_names) == (0, EVERY)
    assert samples(dataset.test) == list(zip(range(3), LABELS, strict=True))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("form", ["devkit", "archive", "kaggle"])
def test_official_images_get_the_official_labels(flat, form, capsys):
    ids = [SOME[1], SOME[0], "n15075141", SOME[1]]
    folder = flat
    if form == "kaggle":
        folder = flat / "imagenet"
        (folder / "ILSVRC/Data/CLS-LOC").mkdir(parents=True)
        for part in ("train", "val"):
            (flat / part).rename(folder / "ILSVRC/Data/CLS-LOC" / part)
        rows = [[f"ILSVRC2012_val_{i + 1:08}", f"{id} 1 2 3 4 "] for i, id in enumerate(ids)]
        with open(folder / "LOC_val_solution.csv", "w", newline="") as file:
            csv.writer(file).writerows([["ImageId", "PredictionString"], *reversed(rows)])
    else:
        write_devkit(flat, ids)
    if form == "archive":
        with tarfile.open(flat / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
            tar.add(flat / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
        shutil.rmtree(flat / "ILSVRC2012_devkit_t12")
    assert samples(load(folder).test) == [(1, 1), (2, 0), (4, 1)]
    assert "validation images of 1 other classes" in capsys.readouterr().out
    assert samples(load(folder, EVERY).test) == [(1, 134), (2, 0), (3, 999), (4, 134)]


def test_labels_that_are_missing_or_do_not_fit(flat):
    with pytest.raises(DatasetError, match=r"need labels; put ILSVRC2012_devkit_t12.tar.gz or"):
        load(flat)
    (flat / "LOC_val_solution.csv").write_text("ImageId,Nothing\n1,2\n")
    with pytest.raises(DatasetError, match=r"^data_dir: the labels of .*KeyError"):
        load(flat)
    shutil.rmtree(flat / "train")
    (flat / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nx,n01440764 1\n")
    with pytest.raises(DatasetError, match="holds no images; expected FOLDER/WORDNET_ID/IMAGE"):
        load(flat)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"n01440764": 1, "cat": 1}, "of no ImageNet class, 'cat'; expected FOLDER/WORDNET_ID"),
        ({"train/n01440764": 1, "train/dog": 1}, "of no ImageNet class, 'dog'"),
        ({"n01440764": 0}, "holds no images; expected FOLDER/WORDNET_ID/IMAGE"),
        ({}, "does not exist"),
    ],
)
def test_another_layout_is_refused(tmp_path, layout, message):
    write_classes(tmp_path / "images", layout)
    with pytest.raises(DatasetError, match=f"^data_dir: .*{message}"):
        load(tmp_path / "images")


def test_a_recipe_trains_on_it(tmp_path, monkeypatch):
    monkeypatch.setitem(architecture.STAGE_BLOCKS, "resnext11", (1,))
    write_classes(tmp_path / "data/train", dict.fromkeys(SOME, 4))
    write_classes(tmp_path / "data/val", dict.fromkeys(SOME, 1), first=20)
    damaged = tmp_path / "data/train/n01440764/1.png"
    damaged.write_bytes(damaged.read_bytes()[:45])
    settings = RECIPES["imagenet-modern"].change(
        **{"model": "resnext11", "cardinality": 2, "epochs": 1, "warmup_epochs": 0.0},
        **{"batch_size": 4, "image_size": 16, "data_dir": tmp_path / "data", "small_sizes": (12,)},
    )
    assert train(settings, tmp_path / "run", RunOptions())["epochs"] == 1
    found = open_checkpoint(tmp_path / "run").preprocessing
    assert found == Preprocessing(16, 18, "bilinear"), "of the ratio 256 to 224"
    examples = {path.stem for path in (tmp_path / "run" / "examples").iterdir()}
    assert examples == {EVERY[label] for label in LABELS}
    (tmp_path / "data/val").rename(tmp_path / "val")
    for folder, found in (("val", "0 and 3"), ("data", "12 and 0")):
        with pytest.raises(ValueError, match=f"--data-dir: expected images .* got {found}$"):
            dry_run(settings.change(data_dir=tmp_path / folder))
