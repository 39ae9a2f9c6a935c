"""The same as `keras-resnext predict`, from a checkout: `python scripts/predict.py --help`."""

import sys

if __name__ == "__main__":
    sys.argv[:1] = ["keras-resnext", "predict"]
    from keras_resnext.cli import main

    sys.exit(main())
