"""Checkpoints: folders in timm's layout both ways, files of every kind, and what is none."""

import json
import math
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_resnext import ResNeXt, feature_extractor, feature_info, from_preset, open_checkpoint
from keras_resnext.architecture import Architecture, from_timm_name
from keras_resnext.checkpoint import write_checkpoint
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.publishing import convert
from keras_resnext.weights.config import to_timm
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.presets import TIMM_NAMES
from tests.gradients import relative_error

CLASSES = ("cat", "dog", "emu")
CROP = Preprocessing(40, 47, "bicubic", (129.3, 124.1, 112.4), (68.2, 65.4, 70.4))
# Networks that timm builds by its names and arguments; ours beside them.
TIMM = [
    dict(stage_blocks=(1, 2, 1, 1)),
    dict(stage_blocks=(1, 1, 2), stem="deep", shortcut="average_pool", cardinality=3),
    dict(stage_blocks=(1, 2), stem="deep_tiered", squeeze_excitation=True, base_width=6),
    dict(stage_blocks=(2,), shortcut="average_pool"),
]
ONLY_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="files are the same under every backend"
)
OWN = [dict(stem="cifar", stage_blocks=(1, 2, 1)), dict(reduce="grouped", cardinality=8)]


def network(**arguments):
    """A small network whose weights and statistics are all different from their beginnings."""
    sizes = dict(stage_blocks=(1, 1), cardinality=4, stem="imagenet", input_shape=(40, 40, 3))
    model = ResNeXt(**sizes | dict(classes=3, classifier_activation=None) | arguments)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    return model


def assert_same(found, expected):
    """Assert that two networks have the same weights, but for a head that one has not."""
    one, other = LayerWeights.of_model(found).arrays, LayerWeights.of_model(expected).arrays
    assert one.keys() ^ other.keys() <= {"predictions"}
    for layer in one.keys() & other.keys():
        for array, wanted in zip(one[layer], other[layer], strict=True):
            np.testing.assert_array_equal(array, wanted)


def logits(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def images():
    return np.random.default_rng(0).normal(size=(2, 40, 40, 3)).astype("float32")


def write(folder, model, **fields):
    given = dict(preprocessing=CROP, class_names=CLASSES, trained_on="three animals")
    write_checkpoint(folder, model, **given | dict(license="Apache-2.0") | fields)
    return folder


@ONLY_TENSORFLOW
@pytest.mark.parametrize("arguments", TIMM + OWN, ids=str)
def test_a_folder_holds_all_of_a_checkpoint(arguments, tmp_path):
    model = network(**arguments)
    folder = write(tmp_path / "run", model, accuracy={"test top-1": 0.75})
    found = open_checkpoint(folder)
    expected = Architecture(**dict(stage_blocks=(1, 1), cardinality=4, stem="imagenet") | arguments)
    assert found.architecture in (expected, replace(expected, shortcut="projection"))
    assert (found.name, found.classes, found.class_names) == ("run", 3, CLASSES)
    assert (found.preprocessing, found.trained_on) == (CROP, "three animals")
    assert (found.license.lower(), found.accuracy) == ("apache-2.0", {"test top-1": 0.75})
    assert found.folder == folder
    again = from_preset(folder)
    assert again.input_shape == (None, 40, 40, 3)
    assert_same(again, model)
    assert not list(folder.glob(".writing-*"))


@ONLY_TENSORFLOW
@pytest.mark.parametrize("arguments", TIMM, ids=str)
def test_timm_opens_a_folder_of_ours(arguments, tmp_path):
    torch = pytest.importorskip("torch")
    from tests.peers import load_peers

    timm, _ = load_peers()
    from timm.data import resolve_model_data_config

    model = network(**arguments)
    theirs = timm.create_model(f"local-dir:{write(tmp_path, model)}", pretrained=True).eval()
    with torch.no_grad():
        found = theirs(torch.from_numpy(images()).permute(0, 3, 1, 2)).numpy()
    assert relative_error(found, logits(model, images())) < 1e-5
    config = resolve_model_data_config(theirs)
    assert list(config["input_size"]) == [3, 40, 40]
    assert config["interpolation"] == "bicubic"
    assert math.floor(40 / config["crop_pct"]) == 47
    np.testing.assert_allclose(np.multiply(config["mean"], 255), CROP.mean)
    np.testing.assert_allclose(np.multiply(config["std"], 255), CROP.std)
    assert tuple(theirs.pretrained_cfg["label_names"]) == CLASSES


@ONLY_TENSORFLOW
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnext50_32x4d", dict(layers=[1, 1, 1, 1], cardinality=2)),
        ("seresnext26t_32x4d", dict(layers=[1, 2, 1, 1], drop_rate=0.1)),
        ("resnext50_32x4d", dict(layers=[1, 1, 1, 1], cardinality=2, in_chans=1)),
    ],
)
def test_we_open_what_timm_saved(name, arguments, tmp_path):
    torch = pytest.importorskip("torch")
    from timm.models import save_for_hf

    from tests.parity import peers

    theirs = peers.randomize(peers.timm.create_model(name, num_classes=3, **arguments))
    save_for_hf(theirs, tmp_path, model_config=dict(label_names=CLASSES), safe_serialization=True)
    found = open_checkpoint(tmp_path)
    assert found.class_names == CLASSES
    assert found.preprocessing.image_size == theirs.pretrained_cfg.get("test_input_size", [224])[-1]
    x = images()[..., : arguments.get("in_chans", 3)]
    model = from_preset(found, input_shape=x.shape[1:], classifier_activation=None)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    assert relative_error(logits(model, x), expected) < 1e-4


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".safetensors", ".pth", ""])
def test_converted_to_any_file_and_opened(suffix, tmp_path, caplog):
    if suffix == ".pth":
        pytest.importorskip("torch")
    model = network(squeeze_excitation=True, shortcut="average_pool", block="branches")
    folder = write(tmp_path / "run", model)
    target = tmp_path / f"new{suffix}"
    convert(folder, target)
    found = open_checkpoint(target)
    assert (found.name, found.architecture) == ("run" if not suffix else "new",
                                                open_checkpoint(folder).architecture)  # fmt: skip
    assert_same(from_preset(target), model)
    other = from_preset(target, classes=7)
    assert other.output_shape == (None, 7)
    assert "has a classifier for 3: the one for 7 is random" in caplog.text
    features = from_preset(target, include_top=False, pooling="avg")
    assert features.output_shape == (None, 512)
    assert_same(features, model)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_the_backbone_out_of_a_model_with_a_head_of_its_own(suffix, tmp_path, caplog):
    backbone = network(include_top=False, pooling="avg")
    inner = keras.Sequential([keras.layers.Rescaling(1 / 255), backbone, keras.layers.Dropout(0.2)])
    model = keras.Sequential([keras.Input((40, 40, 3)), inner, keras.layers.Dense(2, name="own")])
    path = tmp_path / f"mine{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    convert(path, tmp_path / "backbone.safetensors")
    assert "left out own, which a ResNeXt does not have" in caplog.text
    again = from_preset(tmp_path / "backbone.safetensors", pooling="avg", input_shape=(40, 40, 3))
    assert "has no classifier: built without top; pass classes=N" in caplog.text
    assert_same(again, backbone)


def test_a_head_without_bias_on_a_backbone_in_a_wrapper(tmp_path):
    backbone = network(include_top=False, pooling="avg")
    frames = keras.Input((2, 40, 40, 3))
    head = keras.layers.Dense(7, use_bias=False, name="predictions")
    model = keras.Model(frames, head(keras.layers.TimeDistributed(backbone)(frames)))
    model.save(tmp_path / "a.keras")
    for found in (LayerWeights.of_model(model), open_checkpoint(tmp_path / "a.keras").weights()):
        kernel, bias = found.arrays["predictions"]
        np.testing.assert_array_equal(kernel, head.kernel)
        np.testing.assert_array_equal(bias, np.zeros(7))


def test_a_name_that_tensorflow_does_not_take(tmp_path):
    model = from_preset(write(tmp_path / "-modèle", network()))
    assert model.name == "mod_le"
    assert model.predict(images(), verbose=0).shape == (2, 3)


def test_names_of_classes_with_gaps(sound, tmp_path):
    shutil.copy(sound / "model.safetensors", tmp_path)
    config = json.loads((sound / "config.json").read_text())
    config["label_names"] = {"0": "cat", "2": "emu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_checkpoint(tmp_path).class_names == ("cat", "1", "emu")


def test_a_file_of_a_folder_brings_what_the_folder_knows(tmp_path):
    write(tmp_path, network())
    write(tmp_path, network(), weights_file="last.safetensors")
    for name in ("model.safetensors", "last.safetensors"):
        assert open_checkpoint(tmp_path / name).class_names == CLASSES
    best, last = (open_checkpoint(tmp_path, which).weights() for which in ("best", "last"))
    assert not np.array_equal(best.arrays["stem_conv"][0], last.arrays["stem_conv"][0])


def test_of_a_state_dict_cut_short_the_rest_is_built(tmp_path, caplog):
    model = network(input_shape=(40, 40, 4), stage_blocks=(1, 2, 1))
    folder, path = write(tmp_path / "run", model), tmp_path / "a.safetensors"
    convert(folder, path)
    for source in (folder, path):
        assert from_preset(source, input_shape=(32, 32, 4)).output_shape == (None, 3)
        assert from_preset(source).input_shape[1:] in ((40, 40, 4), (224, 224, 4))
    tensors = {k: v for k, v in load_file(path).items() if not k.startswith("layer3.")}
    save_file(tensors, path)
    cut = from_preset(path)
    assert "left out fc, which a ResNeXt does not have" in caplog.text
    assert "a.safetensors has no classifier: built without top" in caplog.text
    assert (cut.input_shape[-1], cut.output_shape[-1]) == (4, 512)
    assert [info.channels for info in feature_info(cut)] == [64, 256, 512]
    assert feature_extractor(cut, (1,)).output.shape[-1] == 256
    np.testing.assert_array_equal(
        cut.get_layer("stage2_block2_conv3").kernel, model.get_layer("stage2_block2_conv3").kernel
    )


def test_a_resnet_is_a_resnext_without_groups_and_is_named(tmp_path, caplog):
    model = network(cardinality=1, base_width=64)
    convert(write(tmp_path / "run", model), tmp_path / "a.safetensors")
    caplog.clear()
    assert_same(from_preset(tmp_path / "a.safetensors"), model)
    assert "a.safetensors: a ResNet, no groups; read as ResNeXt-8 1x64d" in caplog.text


@ONLY_TENSORFLOW
def test_converted_to_the_names_of_a_library(tmp_path):
    path = tmp_path / "a.safetensors"
    model = network(stem="cifar", stage_blocks=(1, 1, 1))
    folder = write(tmp_path / "run", model)
    convert(folder, path, "d-x-y")
    assert "stage_3.0.downsample.1.running_var" in load_file(path)
    assert_same(from_preset(path), model)
    for target, naming in ((path, "sequential"), (path, "torch"), (tmp_path / "a.keras", "lua")):
        with pytest.raises(ValueError, match=f"^naming: .*{naming}"):
            convert(folder, target, naming)
    for target in ("a.onnx", "no/a.keras", "a.safetensors"):
        with pytest.raises(ValueError, match=r"^target: "):
            convert(path, tmp_path / target)


def test_a_pth_without_pytorch_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    told = r'a\.pth needs PyTorch, which .* not\. Type: pip install "keras-resnext\[torch\]"$'
    with pytest.raises(ImportError, match=told):
        open_checkpoint(tmp_path / "a.pth")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write(tmp_path_factory.mktemp("run"), network(stage_blocks=(1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(architecture="resnet50"), "architecture 'resnet50' is not a ResNeXt"),
        (dict(architecture=None), "config.json: .*expected string"),
        (dict(model_args=dict(aa_layer="blur")), "model_args aa_layer='blur'"),
        (dict(model_args=dict(stem_type="deep", stem_width=64)), "model_args stem_width=64"),
        (dict(model_args=dict(block_args=dict(attn_layer="eca"))), "block_args=.*eca"),
        (dict(model_args=dict(layers=[9, 9, 9, 9])), "described as ResNeXt-110 .* those of "),
        (dict(num_classes=7), "with 7 classes, but its weights .* 3 classes"),
        (dict(num_classes="many"), "config.json: invalid literal"),
        (dict(num_classes=math.inf), "config.json: cannot convert float infinity"),
        (dict(pretrained_cfg=dict(mean=[0], input_size=[3, 9, 8])), "expected a square, got 9x8"),
        (dict(pretrained_cfg=dict(mean=[0], input_size=[])), "config.json: list index out of"),
        (
            dict(pretrained_cfg=dict(mean=[0], input_size=[3, 9, 9], test_crop_pct=1e-320)),
            "config.json: cannot convert float infinity",
        ),
    ],
    ids=str,
)
def test_a_folder_that_is_not_what_it_says(changes, told, sound, tmp_path):
    shutil.copy(sound / "model.safetensors", tmp_path)
    config = json.loads((sound / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ValueError, match=told) as caught:
        from_preset(tmp_path, input_shape=(40, 40, 3))
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnext50_32x4d.a1_in2k", "did you mean resnext50_32x4d.a1_in1k or"),
        ("ResNeXt50_32x4d", "did you mean resnext50_32x4d.tv_in1k or resnext50_32x4d.tv2_in1k"),
        ("no/such.safetensors", "expected a preset's name, hf://OWNER/NAME, a run's folder"),
        ("hf://nobody", "'nobody': expected OWNER/NAME"),
        ("~nobody/run", "found nothing of that name"),
        ("a\x00b\nc", r"a\\x00b\\nc"),
        ("x" * 5000, "found nothing of that name"),
    ],
)
def test_names_that_stand_for_nothing(name, told):
    with pytest.raises(ValueError, match=told) as caught:
        open_checkpoint(name)
    assert len(str(caught.value).splitlines()) == 1


def test_folders_that_are_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"there is no config.json in this folder"):
        open_checkpoint(tmp_path)
    for text in ("{", "[]", '{"keras_resnext": 3}', "[" * 100_000, "\xff"):
        (tmp_path / "config.json").write_text(text, encoding="latin-1")
        (tmp_path / "model.safetensors").write_bytes(b"")
        with pytest.raises(ValueError, match=r"config.json is damaged or no checkpoint's"):
            open_checkpoint(tmp_path)


def test_a_model_that_is_no_resnext_is_not_written(tmp_path):
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="holds no ResNeXt"):
        write(tmp_path / "new", dense)
    with pytest.raises(ValueError, match=r"class_names: expected 3 names, .* got 2"):
        write(tmp_path / "new", network(), class_names=("a", "b"))
    assert not (tmp_path / "new").exists()


def test_names_of_timm_and_architectures():
    assert from_timm_name("seresnext101d_32x8d") == Architecture(
        (3, 4, 23, 3), 32, 8, "deep", "average_pool", True
    )
    for name in TIMM_NAMES:
        assert to_timm(from_timm_name(name)) == (name, {})
    assert to_timm(Architecture((3, 3, 3), stem="cifar")) == (None, {})
    assert str(Architecture((3, 3, 3), 8, 64, "cifar")) == "ResNeXt-29 8x64d, CIFAR stem"
