"""How far two networks are apart."""

import numpy as np

from tests.gradients import relative_error


def compare(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of each result, by its largest value.

    An image's input gradient jumps where rounding turns the sign of what a ReLU gets, the more
    likely the larger the image: so of the images' gradients, which do not depend on each other,
    the median's difference counts.
    """
    errors = {name: float(relative_error(found[name], expected[name])) for name in expected}
    name = "input gradient"
    pairs = zip(found[name], expected[name], strict=True)
    return errors | {name: float(np.median([relative_error(*pair) for pair in pairs]))}
