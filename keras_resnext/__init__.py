"""ResNeXt for Keras 3 (Xie et al., CVPR 2017), fast on TensorFlow, JAX and PyTorch."""

from keras_resnext.backend import check_backend

check_backend()  # before Keras is imported, and fails in many lines where one would do

from keras_resnext.checkpoint import (  # noqa: E402
    Checkpoint,
    open_checkpoint,
    write_checkpoint,
)
from keras_resnext.features import FeatureInfo, feature_extractor, feature_info  # noqa: E402
from keras_resnext.forms import transfer_weights  # noqa: E402
from keras_resnext.layers import BatchNorm, GroupedConv2D  # noqa: E402
from keras_resnext.models import (  # noqa: E402
    ResNeXt,
    ResNeXt29,
    ResNeXt50,
    ResNeXt101,
    ResNeXt152,
    from_preset,
)
from keras_resnext.preprocessing import (  # noqa: E402
    Preprocessing,
    decode_predictions,
    preprocess_input,
)
from keras_resnext.weights.presets import PRESETS  # noqa: E402

__all__ = [
    "PRESETS",
    "BatchNorm",
    "Checkpoint",
    "FeatureInfo",
    "GroupedConv2D",
    "Preprocessing",
    "ResNeXt",
    "ResNeXt29",
    "ResNeXt50",
    "ResNeXt101",
    "ResNeXt152",
    "decode_predictions",
    "feature_extractor",
    "feature_info",
    "from_preset",
    "open_checkpoint",
    "preprocess_input",
    "transfer_weights",
    "write_checkpoint",
]
