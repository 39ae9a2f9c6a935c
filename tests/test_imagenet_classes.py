import hashlib
import json

from keras_resnext.imagenet_classes import imagenet_class_names, imagenet_classes


def test_are_those_of_keras():
    """By the hash with which Keras checks its own download."""
    index = {str(label): list(each) for label, each in enumerate(imagenet_classes())}
    digest = hashlib.md5(json.dumps(index).encode(), usedforsecurity=False).hexdigest()
    assert digest == "c2c37ea517e94d9795004a39431a14cb"


def test_ids_are_in_the_order_of_the_folders():
    ids = [each.wordnet_id for each in imagenet_classes()]
    assert ids == sorted(set(ids))


def test_names_tell_classes_apart():
    names = imagenet_class_names()
    assert len(set(names)) == 1000
    assert names[0] == "tench"
    assert {names[134], names[517]} == {"crane_n02012849", "crane_n03126707"}
    assert sum(name != each.name for name, each in zip(names, imagenet_classes(), strict=True)) == 4
