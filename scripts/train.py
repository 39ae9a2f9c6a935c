"""The same as `keras-resnext train`, from a checkout: `python scripts/train.py --help`."""

import sys

if __name__ == "__main__":
    sys.argv[:1] = ["keras-resnext", "train"]
    from keras_resnext.cli import main

    sys.exit(main())
