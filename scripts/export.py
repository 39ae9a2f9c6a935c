"""Export a trained ResNeXt for serving: `python scripts/export.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.export import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
