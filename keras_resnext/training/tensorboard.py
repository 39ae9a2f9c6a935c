"""A run's progress for TensorBoard."""

from importlib.util import find_spec
from pathlib import Path

import keras


def tensorboard(folder: Path) -> keras.callbacks.Callback:
    """Make the callback that writes each epoch's metrics and learning rate to `folder`.

    It is `keras.callbacks.TensorBoard`, which counts epochs from 0 and writes by TensorFlow and
    the package tensorboard under every backend; without the latter it fails as the first epoch
    ends. An epoch that a kill made the run repeat is there twice, with the same values.

    Args:
        folder: gets `train/` and `validation/`; a resumed run goes on in the same one.

    Raises:
        ImportError: TensorFlow or tensorboard is not installed.
    """
    missing = [name for name in ("tensorflow", "tensorboard") if not find_spec(name)]
    if missing:
        raise ImportError(
            f"logs for TensorBoard need {' and '.join(missing)}, under every backend. "
            'Type: pip install "keras-resnext[tensorboard]"'
        )
    if keras.config.backend() != "tensorflow":
        import tensorflow

        # TensorFlow would reserve the accelerator's memory, which the backend needs.
        tensorflow.config.set_visible_devices([], "GPU")
    # The model as a graph would be a picture of thousands of layers, written anew each time.
    return keras.callbacks.TensorBoard(folder, write_graph=False)
