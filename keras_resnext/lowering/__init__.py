"""How one grouped convolution is computed, and which way is chosen.

`strategies.py` builds the ways that the backends lack from `keras.ops`, and `table.py` holds the
measured choice.
"""
