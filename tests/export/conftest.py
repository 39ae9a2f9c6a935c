import keras
import numpy as np
import pytest

import keras_resnext
from keras_resnext import ResNeXt
from keras_resnext.data.demo import load_demo
from keras_resnext.preprocessing import Preprocessing

NAMES = ("one", "two", "three")
PREPROCESSING = Preprocessing(32, 40, "bilinear", mean=(0, 0, 0), std=(1, 1, 1))


def randomize(model, seed=0):
    """Batch normalization too: at its initial values it does nothing."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def users_model():
    """What a user of keras.applications builds: nested, preprocessing and augmentation inside."""
    backbone = ResNeXt((1,), cardinality=2, input_shape=(32, 32, 3), include_top=False)
    layers = [
        keras.Input((32, 32, 3)),
        keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)]),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        randomize(backbone),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(len(NAMES), kernel_initializer=keras.initializers.RandomNormal(0, 0.1)),
        keras.layers.Activation("softmax", dtype="float32"),
    ]
    return keras.Sequential(layers)


@pytest.fixture(scope="session")
def images():
    return load_demo(1, 1, 3).test.images  # 36


@pytest.fixture(scope="session")
def trained(images):
    """That model after the user's own `fit`."""
    model = users_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(images[:8].astype(np.float32), np.arange(8) % 3, verbose=0)
    return model


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory):
    """Its SavedModel, which takes a minute; as the user of `test_export` and a server see it."""
    path = tmp_path_factory.mktemp("saved_models") / "tiny"
    return keras_resnext.export(trained, path, class_names=NAMES, preprocessing=PREPROCESSING)
