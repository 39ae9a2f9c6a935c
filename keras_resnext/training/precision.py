"""From the precision that the settings name to a dtype policy."""

from keras_resnext.native import BACKEND, machine
from keras_resnext.training.settings import Precision


def dtype_policy(precision: Precision) -> str:
    """Name of the Keras dtype policy that a precision means on this machine.

    Keras keeps weights in float32 under all of them, our `BatchNorm` its statistics and the
    networks their head; with mixed_float16 `compile` scales the loss.

    Raises:
        ValueError: the accelerator does not compute in bfloat16.
    """
    accelerators = machine.accelerators()
    capable = machine.computes_bfloat16()
    if precision == "mixed_bfloat16" and not capable:
        raise ValueError(
            f"precision: {accelerators[0]} does not compute in bfloat16; choose mixed_float16 or "
            f"float32 (backend {BACKEND})"
        )
    if precision != "auto":
        return precision
    if not accelerators:
        return "float32"
    return "mixed_bfloat16" if capable else "mixed_float16"
