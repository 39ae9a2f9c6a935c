"""Measure a trained ResNeXt: `python scripts/evaluate.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.evaluate import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
