"""Old place of `figure`, until the modules that import it are gone."""

from keras_resnext.files import figure as new_figure

__all__ = ["new_figure"]
