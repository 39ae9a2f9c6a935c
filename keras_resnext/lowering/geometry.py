"""What a convolution is, apart from its numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """Static facts of one 2D convolution.

    Attributes:
        in_channels: input channels, all groups together.
        out_channels: output channels, all groups together.
        groups: number of groups (the cardinality); 1 is a dense convolution.
        kernel_size: height and width in pixels.
        strides: vertical and horizontal, in pixels.
        dilation: vertical and horizontal, in pixels.
        padding: `"valid"` or `"same"`, which pads as TensorFlow does: the odd pixel goes after.
        data_format: `"channels_last"` or `"channels_first"`.
    """

    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: str
    data_format: str

    @property
    def channels_first(self) -> bool:
        """Whether tensors are (batch, channels, height, width)."""
        return self.data_format == "channels_first"

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in a 4D tensor."""
        return 1 if self.channels_first else -1

    @property
    def group_width(self) -> int:
        """Input channels a group."""
        return self.in_channels // self.groups

    @property
    def is_pointwise(self) -> bool:
        """Whether this is a 1x1 convolution, which is a matrix product over the channels."""
        return self.kernel_size == (1, 1)
