"""Old place of `load_imagenet_folder`, until the modules that import it are gone."""

from keras_resnext.data.image_folder import load_imagenet_folder

__all__ = ["load_imagenet_folder"]
