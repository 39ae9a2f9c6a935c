"""Train a ResNeXt: `python scripts/train.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.train import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
