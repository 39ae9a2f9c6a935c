"""Speed as ratios, both sides in one run: what `scripts/benchmark.py` calls.

The networks and operations it compares with are the backends' own, so this package names backends
where the rest of `keras_resnext` leaves that to `native/`.
"""
