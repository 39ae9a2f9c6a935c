import numpy as np
from PIL import Image

from keras_resnext.data import normalise
from keras_resnext.explanation.explanations import explain
from keras_resnext.explanation.grad_cam import Maps
from tests.training.tiny import tiny_demo


def brightness(images, labels, top):
    """In place of Grad-CAM: the heat is the image, a class's probability a tenth of its label."""
    labels = np.arange(top) + np.zeros((len(images), 1), int) if labels is None else labels
    return Maps(labels, labels / 10, np.repeat(images[:, None, :, :, 0], labels.shape[1], 1))


def explained(tmp_path, labels, top, batch_size):
    dataset = tiny_demo("demo")
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for path, image in zip(paths, dataset.test.images, strict=False):
        Image.fromarray(image).save(path)
    paths[1].write_bytes(b"no image")
    batches = list(explain(brightness, dataset, paths, labels, top, batch_size))
    assert [path for batch in batches for path in batch.unreadable] == [paths[1]]
    found = [explanation for batch in batches for explanation in batch.explanations]
    assert [e.prediction.path for e in found] == [paths[0], *paths[2:]]
    for explanation, index in zip(found, (0, 2, 3), strict=True):
        image = dataset.test.images[index]
        seen = normalise(image[None], dataset.preprocessing.mean, dataset.preprocessing.std)
        np.testing.assert_array_equal(explanation.image, image)
        np.testing.assert_allclose(explanation.heat[-1], seen[0, :, :, 0])
    return dataset, found


def test_named_classes_of_every_image(tmp_path):
    dataset, found = explained(tmp_path, [3, 1], top=1, batch_size=2)
    for explanation in found:
        assert explanation.prediction.guesses == (
            (3, dataset.class_names[3], 0.3),
            (1, dataset.class_names[1], 0.1),
        )


def test_a_batch_of_which_none_can_be_read(tmp_path):
    _, found = explained(tmp_path, [], top=2, batch_size=1)
    assert [len(explanation.heat) for explanation in found] == [2, 2, 2]
