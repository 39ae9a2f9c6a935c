import math
import random

import numpy as np
import pytest

from keras_resnext.data.mixing import Blend, Mixing, draw_blend, mix

HEIGHT, WIDTH = 6, 8


def samples(count=4, classes=3):
    rng = np.random.default_rng(0)
    labels = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, count)]
    return rng.random((count, HEIGHT, WIDTH, 3), np.float32), labels


def drawn(mixing, count=2000, height=HEIGHT, width=WIDTH):
    rng = np.random.default_rng(1)
    return [draw_blend(mixing, height, width, rng) for _ in range(count)]


def with_neighbour(values):
    return np.concatenate([values[-1:], values])


@pytest.mark.parametrize(
    "blend",
    [Blend(0.3), Blend(1 - 6 / 48, (slice(1, 3), slice(4, 7))), Blend(1.0, (slice(2, 2),) * 2)],
)
def test_each_sample_is_mixed_with_the_one_before_it(blend):
    images, labels = samples()
    found = mix(with_neighbour(images), with_neighbour(labels), blend)
    assert found[0].dtype == found[1].dtype == np.float32
    for i in range(4):
        neighbour = (i - 1) % 4
        expected = np.empty((HEIGHT, WIDTH, 3))
        for y in range(HEIGHT):
            for x in range(WIDTH):
                if blend.box is None:
                    own = blend.weight
                else:
                    rows, columns = blend.box
                    pasted = rows.start <= y < rows.stop and columns.start <= x < columns.stop
                    own = 0.0 if pasted else 1.0
                expected[y, x] = own * images[i, y, x] + (1 - own) * images[neighbour, y, x]
        label = blend.weight * labels[i] + (1 - blend.weight) * labels[neighbour]
        np.testing.assert_allclose(found[0][i], expected, atol=1e-6)
        np.testing.assert_allclose(found[1][i], label, atol=1e-6)


def test_the_samples_are_left_alone():
    images, labels = samples()
    before = images.copy(), labels.copy()
    mix(images, labels, Blend(0.3))
    mix(images, labels, Blend(0.5, (slice(0, 6), slice(0, 4))))
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_draws_weights_from_the_beta_distribution(alpha):
    blends = drawn(Mixing(mixup=alpha))
    weights = np.array([blend.weight for blend in blends])
    assert all(blend.box is None for blend in blends)
    assert weights.mean() == pytest.approx(0.5, abs=0.05)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def slow_box(alpha, height, width, rng):
    """The algorithm of torchvision's CutMix."""
    lam = rng.betavariate(alpha, alpha)
    x, y = rng.randrange(width), rng.randrange(height)
    half_width, half_height = (int(0.5 * math.sqrt(1 - lam) * n) for n in (width, height))
    top, bottom = max(y - half_height, 0), min(y + half_height, height)
    left, right = max(x - half_width, 0), min(x + half_width, width)
    return top, bottom, left, right


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_cutmix_boxes_are_distributed_as_the_slow_ones(alpha):
    rng = random.Random(2)
    slow = np.array([slow_box(alpha, 24, 32, rng) for _ in range(3000)])
    boxes = [blend.box for blend in drawn(Mixing(cutmix=alpha), 3000, 24, 32)]
    fast = np.array([(r.start, r.stop, c.start, c.stop) for r, c in boxes])
    for summary in (np.mean, np.std):
        np.testing.assert_allclose(summary(fast, 0), summary(slow, 0), atol=1.0)
    areas = [np.prod([b[:, 1] - b[:, 0], b[:, 3] - b[:, 2]], axis=0) / 768 for b in (slow, fast)]
    assert areas[0].mean() == pytest.approx(areas[1].mean(), abs=0.025)


def test_cutmix_weighs_by_the_true_area():
    for blend in drawn(Mixing(cutmix=1.0), 200):
        pasted = np.zeros((HEIGHT, WIDTH), bool)
        pasted[blend.box] = True
        assert blend.weight == pytest.approx(1 - pasted.mean())


def test_with_both_each_comes_half_the_time():
    cut = [blend.box is not None for blend in drawn(Mixing(mixup=0.2, cutmix=1.0))]
    assert np.mean(cut) == pytest.approx(0.5, abs=0.06)


def test_nothing_asked_mixes_nothing():
    images, labels = samples()
    found = mix(with_neighbour(images), with_neighbour(labels), *drawn(Mixing(), 1))
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], labels)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_alphas_are_checked(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected .* got {value!r}$"):
        Mixing(**{name: value})
