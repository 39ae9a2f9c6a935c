"""Old place of the ImageNet names, until the modules that import it are gone."""

from keras_resnext.preprocessing import imagenet_class_names, imagenet_classes

__all__ = ["imagenet_class_names", "imagenet_classes"]
