import numpy as np
import pytest

from keras_resnext.data.reducing import reduce_size


def test_each_new_pixel_is_the_mean_of_what_it_covers():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    np.testing.assert_allclose(
        reduce_size(images, 2), images.reshape(2, 2, 2, 2, 2, 3).mean(axis=(2, 4)), rtol=1e-6
    )
    # 4 pixels to 3: the first covers one pixel and a third of the next.
    row = reduce_size(np.tile(np.float32([0, 3, 6, 9]).reshape(1, 1, 4, 1), (1, 4, 1, 1)), 3)
    np.testing.assert_allclose(row[0, 0, :, 0], [0.75, 4.5, 8.25], rtol=1e-6)


def test_images_cannot_grow():
    with pytest.raises(ValueError, match="small_sizes: expected at most the images' 4 pixels"):
        reduce_size(np.zeros((1, 4, 4, 3), np.float32), 8)
