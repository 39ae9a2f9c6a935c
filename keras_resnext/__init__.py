"""ResNeXt for Keras 3 (Xie et al., CVPR 2017), fast on TensorFlow, JAX and PyTorch."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_resnext import console

__version__ = "0.2.0"

if console.is_command():
    console.restart_with_huge_pages()
    sys.excepthook = console.stop_quietly
try:
    from keras_resnext import backend  # before Keras, which would fail in many lines
except ImportError as missing:
    if console.is_command():
        sys.exit(console.fail(missing))
    raise
if console.is_command():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with console.hidden_start_up_lines():
        backend.native.begin_command()

from keras_resnext.accelerate import accelerate
from keras_resnext.architecture import Architecture
from keras_resnext.checkpoint import Checkpoint, open_checkpoint
from keras_resnext.features import FeatureInfo, feature_extractor, feature_info, transfer_weights
from keras_resnext.layers import BatchNorm, GroupedConv2D
from keras_resnext.models import (
    ResNeXt,
    ResNeXt29,
    ResNeXt50,
    ResNeXt101,
    ResNeXt152,
    from_preset,
)
from keras_resnext.preprocessing import Preprocessing, decode_predictions, preprocess_input
from keras_resnext.publishing import push_to_hub
from keras_resnext.rematerialize import rematerialize
from keras_resnext.weights.presets import list_presets

if TYPE_CHECKING:
    from keras_resnext.export import export
    from keras_resnext.inference.evaluate import evaluate
    from keras_resnext.inference.grad_cam import GradCAM
    from keras_resnext.inference.predict import predict

# Imported when they are first used: they need more than the base dependencies.
_LATER = {
    "GradCAM": "inference",
    "evaluate": "inference",
    "export": "export",
    "predict": "inference",
}

__all__ = [
    "Architecture",
    "BatchNorm",
    "Checkpoint",
    "FeatureInfo",
    "GradCAM",
    "GroupedConv2D",
    "Preprocessing",
    "ResNeXt",
    "ResNeXt29",
    "ResNeXt50",
    "ResNeXt101",
    "ResNeXt152",
    "accelerate",
    "decode_predictions",
    "evaluate",
    "export",
    "feature_extractor",
    "feature_info",
    "from_preset",
    "list_presets",
    "open_checkpoint",
    "predict",
    "preprocess_input",
    "push_to_hub",
    "rematerialize",
    "transfer_weights",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LATER[name]}")
    # `export` is a package too, which is callable: whatever is imported first, the name works.
    globals()[name] = value = module if name == _LATER[name] else getattr(module, name)
    return value
