"""List the published weights: `python scripts/presets.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.presets import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
