"""Put runs side by side: `python scripts/compare.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.compare import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
