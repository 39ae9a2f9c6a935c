"""How images are made ready for a network."""

from dataclasses import dataclass

RGB = tuple[float, float, float]

# ImageNet's, in pixel units, as torchvision normalises for the published weights.
MEAN: RGB = (123.675, 116.28, 103.53)
STD: RGB = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocessing:
    """From an image of any size to what the network takes.

    The shorter side is scaled to `resize_size`, with antialiasing, a square of `image_size` is cut
    out of the centre, and each channel has `mean` subtracted and is divided by `std`: torchvision's
    `Resize`, `CenterCrop` and `Normalize`.

    Attributes:
        image_size: height and width of the network's input, in pixels.
        resize_size: of the shorter side before the crop, in pixels; `image_size` or more.
        interpolation: `"bilinear"` or `"bicubic"`.
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.
    """

    image_size: int = 224
    resize_size: int = 256
    interpolation: str = "bilinear"
    mean: RGB = MEAN
    std: RGB = STD
