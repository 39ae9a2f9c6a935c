"""The same as `keras-resnext export`, from a checkout: `python scripts/export.py --help`."""

import sys

if __name__ == "__main__":
    sys.argv[:1] = ["keras-resnext", "export"]
    from keras_resnext.cli import main

    sys.exit(main())
