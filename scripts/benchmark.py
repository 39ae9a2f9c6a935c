"""Measure speed as ratios, both sides in one run: `python scripts/benchmark.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.benchmark import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
