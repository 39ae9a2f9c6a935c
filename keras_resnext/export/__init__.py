"""Export of trained networks: `keras_resnext.export(model, path, format)`, verified.

The package is callable, since it bears the name of its one function.
"""

import sys
from types import ModuleType

from keras_resnext.export.formats import FORMATS
from keras_resnext.export.pipeline import ExportError, export

__all__ = ["FORMATS", "ExportError", "export"]


class _Callable(ModuleType):
    __call__ = staticmethod(export)


sys.modules[__name__].__class__ = _Callable
