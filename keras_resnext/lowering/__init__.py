"""How one grouped convolution is computed, and which way is chosen.

`native.py` is the only file of the package with backend-specific arithmetic; `strategies.py` builds
the other ways from `keras.ops`; `table.py` holds the measured choice.
"""

from keras_resnext.lowering.dispatch import LOWERINGS, grouped_conv2d

__all__ = ["LOWERINGS", "grouped_conv2d"]
