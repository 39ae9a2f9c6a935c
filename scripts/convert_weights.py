"""Convert weights to and from PyTorch: `python scripts/convert_weights.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.convert_weights import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
