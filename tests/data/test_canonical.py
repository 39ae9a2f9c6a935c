from dataclasses import replace

import numpy as np
import pytest

from keras_resnext.data.canonical import digest, sort_by_content, stratified_holdout
from tests.data.conftest import random_split


def shuffled(split, seed=1):
    return split.take(np.random.default_rng(seed).permutation(len(split)))


def with_copies(split, pairs):
    images = split.images.copy()
    for source, copy in pairs:
        images[copy] = images[source]
    return replace(split, images=images)


def images_of(split):
    return {image.tobytes() for image in split.images}


def test_order_and_digest_do_not_depend_on_the_order_given():
    # 0 and 5 are one image under two labels, 2 and 6 are equal samples.
    split = with_copies(random_split(40), [(0, 5), (2, 6)])
    first, first_keys = sort_by_content(split)
    second, second_keys = sort_by_content(shuffled(split))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.superclass_labels, second.superclass_labels)
    assert digest(first_keys) == digest(second_keys)


@pytest.mark.parametrize("field", ["images", "labels", "superclass_labels"])
def test_any_change_changes_the_digest(field):
    split = random_split(40)
    changed = getattr(split, field).copy()
    changed[7] = 1 - changed[7] % 2
    other = replace(split, **{field: changed})
    assert digest(sort_by_content(split)[1]) != digest(sort_by_content(other)[1])


def test_the_holdout_is_stratified_disjoint_and_complete():
    split, keys = sort_by_content(random_split(80))
    rest, held_out = stratified_holdout(split, keys, per_class=3, seed=0)
    assert np.bincount(held_out.labels).tolist() == [3, 3, 3, 3]
    assert images_of(rest) | images_of(held_out) == images_of(split)
    assert not images_of(rest) & images_of(held_out)


def test_the_seed_decides_and_the_order_does_not():
    split, keys = sort_by_content(random_split(80))
    _, first = stratified_holdout(split, keys, per_class=3, seed=0)
    order = np.random.default_rng(2).permutation(len(split))
    _, moved = stratified_holdout(split.take(order), [keys[i] for i in order], 3, seed=0)
    _, other = stratified_holdout(split, keys, per_class=3, seed=1)
    assert images_of(first) == images_of(moved)
    assert images_of(first) != images_of(other)


def test_copies_are_never_held_out_even_under_another_label():
    split = with_copies(random_split(16), [(0, 4), (1, 2)])
    split, keys = sort_by_content(split)
    rest, held_out = stratified_holdout(split, keys, per_class=2, seed=0)
    assert not images_of(rest) & images_of(held_out)
    with pytest.raises(ValueError, match="at most 2, the distinct samples of class 0"):
        stratified_holdout(split, keys, per_class=3, seed=0)
