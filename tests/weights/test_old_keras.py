import h5py
import keras
import numpy as np
import pytest

from keras_resnext.weights.arrays import WeightsError
from keras_resnext.weights.old_keras import read_old_keras

DATASET = "conv1_conv/conv1_conv/kernel:0"
KERNEL = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
LAYERS = {
    "input_1": {},
    "conv1_conv": {"conv1_conv/kernel:0": KERNEL, "conv1_conv/bias:0": np.ones(4, "float16")},
    "conv1_bn": {"conv1_bn_1/gamma:0": np.arange(4, dtype=">f4")},
    "block1/conv": {"block1/conv/depthwise_kernel:0": KERNEL.astype(np.float64)},
}


def write(path, layers=LAYERS, root=None, chunks=None):
    """As Keras 1 and 2 wrote them."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        put_names(group, "layer_names", list(layers), chunks)
        for layer, weights in layers.items():
            inner = group.create_group(layer)
            put_names(inner, "weight_names", list(weights), chunks)
            for name, value in weights.items():
                inner[name] = value
    return path


def put_names(group, name, texts, chunks):
    array = np.array([text.encode() for text in texts], "S")
    if chunks is None:
        group.attrs[name] = array
    else:
        for index, part in enumerate(np.array_split(array, chunks)):
            group.attrs[f"{name}{index}"] = part


@pytest.mark.parametrize("root", [None, "model_weights"])
@pytest.mark.parametrize("chunks", [None, 3])
def test_weights_by_layer(tmp_path, root, chunks):
    found = read_old_keras(write(tmp_path / "a.h5", root=root, chunks=chunks))
    assert list(found) == [
        "conv1_conv/kernel",
        "conv1_conv/bias",
        "conv1_bn/gamma",
        "block1/conv/depthwise_kernel",
    ]
    np.testing.assert_array_equal(found["conv1_conv/kernel"], KERNEL, strict=True)
    np.testing.assert_array_equal(found["conv1_conv/bias"], np.ones(4, np.float32), strict=True)
    np.testing.assert_array_equal(found["conv1_bn/gamma"], np.float32([0, 1, 2, 3]), strict=True)
    assert found["block1/conv/depthwise_kernel"].dtype == np.float64
    assert all(array.flags.c_contiguous and array.dtype.isnative for array in found.values())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras imports it to write")
def test_a_whole_model_as_keras_writes_it(tmp_path):
    inputs = keras.Input((8, 8, 4))
    outputs = keras.layers.Conv2D(6, 3, name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.BatchNormalization(name="bn")(outputs))
    model.save(tmp_path / "a.h5")
    found = read_old_keras(tmp_path / "a.h5")
    assert {name.rpartition("/")[2] for name in found} == {
        *("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    }
    for array, expected in zip(found.values(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_a_model_within_a_model(tmp_path):
    layers = {"inner": {"a/kernel:0": KERNEL, "b/kernel:0": KERNEL}}
    with pytest.raises(WeightsError, match="models within a model"):
        read_old_keras(write(tmp_path / "a.h5", layers))


def test_weights_of_keras_3(tmp_path):
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match=r"Keras 3; .* ends in \.weights\.h5"):
        read_old_keras(tmp_path / "a.weights.h5")


def test_something_else(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = KERNEL
    with pytest.raises(WeightsError, match=r"HDF5 file of something else \('images'\); expected"):
        read_old_keras(tmp_path / "a.h5")


@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_truncated(tmp_path, part):
    content = write(tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: int(part * len(content))])
    with pytest.raises(WeightsError, match="download it again"):
        read_old_keras(tmp_path / "a.h5")


@pytest.mark.parametrize("missing", ["conv1_conv", DATASET])
def test_a_weight_that_is_not_there(tmp_path, missing):
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        del file[missing]
    with pytest.raises(WeightsError, match="conv1_conv"):
        read_old_keras(tmp_path / "a.h5")


def soft(file, name, secret):
    file[name] = h5py.SoftLink("/model_weights/conv1_conv/conv1_conv/bias:0")


def link(file, name, secret):
    file[name] = h5py.ExternalLink(str(secret), name.removeprefix("model_weights") or "/")


def external(file, name, secret):
    file.create_dataset(name, (12,), "float32", external=[(str(secret), 0, 48)])


def virtual(file, name, secret):
    layout = h5py.VirtualLayout((12,), "float32")
    layout[:] = h5py.VirtualSource(str(secret), f"/{DATASET}", (12,))
    file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize(
    ("point_at", "name"),
    [
        (link, "model_weights"),
        (link, "model_weights/conv1_conv"),
        (link, f"model_weights/{DATASET}"),
        (soft, f"model_weights/{DATASET}"),
        (external, f"model_weights/{DATASET}"),
        (virtual, f"model_weights/{DATASET}"),
    ],
)
def test_weights_that_are_in_another_file(tmp_path, point_at, name):
    secret = write(tmp_path / "secret.h5")
    with h5py.File(write(tmp_path / "a.h5", root="model_weights"), "a") as file:
        del file[name]
        point_at(file, name, secret)
    with pytest.raises(WeightsError, match="is not in the file itself"):
        read_old_keras(tmp_path / "a.h5")


@pytest.mark.parametrize("options", [dict(compression="gzip"), dict(shape=(10**6, 10**6))])
def test_a_few_bytes_that_would_fill_the_memory(tmp_path, options):
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        del file[DATASET]
        options = dict(shape=(10**6,), chunks=(10, 10) if "shape" in options else True) | options
        file.create_dataset(DATASET, dtype="float32", **options)
    with pytest.raises(WeightsError, match=r"describes [\d,]+ elements in [\d,]+ bytes"):
        read_old_keras(tmp_path / "a.h5")


def test_text(tmp_path):
    with pytest.raises(WeightsError, match=r"tensor 'a/b' is of dtype (bytes|object)"):
        read_old_keras(write(tmp_path / "a.h5", {"a": {"a/b:0": "text"}}))
