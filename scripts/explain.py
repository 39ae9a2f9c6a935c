"""Show what in images speaks for a class: `python scripts/explain.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from keras_resnext.commands.explain import main
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
