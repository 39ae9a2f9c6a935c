import keras
import numpy as np

from keras_resnext import backend, doctor


def test_passes_here_and_prints_what_a_report_needs(monkeypatch, capsys):
    """All lowerings of one case; the whole of it runs by `keras-resnext doctor`."""
    case = "3x3, channels first"
    cases = {name: doctor.CASES[name] for name in (case, "1x1", "3x3 of 32x4d")}
    monkeypatch.setattr(doctor, "CASES", cases)
    assert doctor.doctor()
    text = capsys.readouterr().out
    assert text.startswith(f"backend       {backend.NAME}\ndevice        CPU\n") or (
        backend.native.accelerators()
    )
    assert f"keras {keras.__version__}" in text
    assert text.count(case) == 5
    assert "batch normalization" in text
    assert text.endswith("All right.\n")


def test_a_wrong_number_is_found(monkeypatch, capsys):
    """Even where the error is NaN, and where only the default way is wrong."""
    checks = [
        ("auto, case", "float32", lambda: np.nan),
        ("native, case", "float32", lambda: 1 / 0),
        ("packed, case", "float32", lambda: 0.0),
    ]
    monkeypatch.setattr(doctor, "_checks", lambda: checks)
    assert not doctor.doctor()
    lines = capsys.readouterr().out.splitlines()
    assert ["WRONG" in line for line in lines[-5:-2]] == [True, False, False]
    assert "not available (division by zero)" in lines[-4]
    checks[0] = ("auto, case", "float32", lambda: 1 / 0)
    assert not doctor.doctor()
    assert "FAILED (division by zero)" in capsys.readouterr().out


def test_wrong_arithmetic_is_found(monkeypatch):
    """By a ten-thousandth."""
    convolution = backend.native.convolution

    def wrong(x, kernel, geometry):
        out = convolution(x, kernel, geometry)
        return out * (1 + 1e-4)

    geometry = doctor.CASES["3x3 of 8x16d"]
    assert doctor.convolution_error(geometry, "packed") < doctor.BOUNDS["float32"]
    monkeypatch.setattr(backend.native, "convolution", wrong)
    assert doctor.convolution_error(geometry, "packed") > doctor.BOUNDS["float32"]
