"""The same as `keras-resnext evaluate`, from a checkout: `python scripts/evaluate.py --help`."""

import sys

if __name__ == "__main__":
    sys.argv[:1] = ["keras-resnext", "evaluate"]
    from keras_resnext.cli import main

    sys.exit(main())
