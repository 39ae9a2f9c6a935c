"""How one grouped convolution is computed, and which way is chosen.

`native/` is the only place of the package with backend-specific arithmetic, `strategies.py` builds
the other ways from `keras.ops`, and `table.py` holds the measured choice.
"""
