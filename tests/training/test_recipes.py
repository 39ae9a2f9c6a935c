import pytest

from keras_resnext.training.network import build_network, resolved
from keras_resnext.training.recipes import RECIPES, recipe


def test_file_reproduces_a_recipe(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(RECIPES["grouped1x1"].to_toml())
    assert recipe(str(path)) == RECIPES["grouped1x1"]


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"expected one of quickstart, paper, grouped1x1.*'papre'"):
        recipe("papre")


@pytest.mark.parametrize(("name", "parameters"), [("grouped1x1", 14_788_772 + 68_224)])
def test_recipe_names_the_network_of_its_source(name, parameters):
    assert build_network(RECIPES[name], (32, 32, 3), 100).count_params() == parameters


def test_resolved_leaves_nothing_open():
    settings = resolved(RECIPES["quickstart"])
    assert (settings.cardinality, settings.base_width, settings.stem) == (32, 4, "imagenet")
    assert resolved(settings) == settings
