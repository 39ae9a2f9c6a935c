import shutil

import pytest

from keras_resnext.training.folder import RunError, check, check_space, claim, settings_of
from tests.training.tiny import SETTINGS


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"output_dir: cannot write to .*file"):
        check(tmp_path / "file" / "run", SETTINGS, resume=False)


def test_claims_what_it_has_checked(tmp_path):
    folder = tmp_path / "runs" / "mine"
    assert check(folder, SETTINGS, resume=False) is None
    assert not folder.parent.exists()
    claim(folder, SETTINGS, resume=False)
    assert check(folder, SETTINGS, resume=True) == settings_of(folder) == SETTINGS


def test_a_disk_too_small(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    check_space(tmp_path / "run", 1)
    with pytest.raises(RunError, match=r"output_dir: [\d,]+ MiB are free .* or a lower --keep"):
        check_space(tmp_path / "run", 2 * free)


def test_a_folder_that_a_kill_left_before_its_settings(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.writing-settings.toml").touch()
    claim(tmp_path / "run", SETTINGS, resume=False)
    assert settings_of(tmp_path / "run") == SETTINGS
