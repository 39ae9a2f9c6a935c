import os
import pickle

import numpy as np
import pytest

from keras_resnext.data.unpickling import load_arrays


class Touch:
    """Unpickled by the standard library, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_plain_values_and_arrays_are_read():
    value = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2, 3]}
    # The official files name NumPy's module as it was called when they were made.
    content = pickle.dumps(value, protocol=3).replace(b"numpy._core.", b"numpy.core.")
    loaded = load_arrays(content)
    np.testing.assert_array_equal(loaded["data"], value["data"])
    assert loaded["labels"] == [1, 2, 3]


def test_strings_of_python_2_become_bytes():
    assert load_arrays(b"\x80\x02U\x04caf\xe9.") == b"caf\xe9"


def test_code_is_not_run(tmp_path):
    victim = tmp_path / "made"
    content = pickle.dumps({"data": [Touch(victim)]}, protocol=2)
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.mkdir|nt\.mkdir"):
        load_arrays(content)
    assert not victim.exists()
    pickle.loads(content)
    assert victim.exists(), "the file must be one that would have run code"


@pytest.mark.parametrize(
    "name", ["builtins\neval", "numpy\nload", "numpy.core.multiarray\nscalar", "os\nsystem"]
)
def test_no_other_name_is_allowed(name):
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        load_arrays(f"c{name}\n.".encode())
