"""Train the same network on each backend: `python scripts/compare_backends.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.compare_backends import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
