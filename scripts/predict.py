"""Say what images show, by a trained ResNeXt: `python scripts/predict.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.predict import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
