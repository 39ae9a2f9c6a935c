"""What a convolution is, apart from its numbers."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Geometry:
    """Static facts of one 2D convolution; `None` stands for a size unknown until the call.

    Attributes:
        height, width: input size in pixels, or `None`.
        in_channels, out_channels: total channels, all groups together.
        groups: number of groups (the cardinality); 1 is a dense convolution.
        kernel_size, strides, dilation: (vertical, horizontal).
        padding: `"same"` (as TensorFlow pads: the odd pixel goes after) or `"valid"`.
        data_format: `"channels_last"` or `"channels_first"`.
    """

    height: int | None
    width: int | None
    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: str
    data_format: str

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in a 4D tensor."""
        return -1 if self.data_format == "channels_last" else 1

    @property
    def group_width(self) -> int:
        """Input channels a group."""
        return self.in_channels // self.groups

    @cached_property
    def is_pointwise(self) -> bool:
        """Whether this is a 1x1 convolution, which is a matrix product over the channels."""
        return self.kernel_size == (1, 1)
