"""Train the same network on each backend and compare: `compare_backends.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.training.comparison import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
