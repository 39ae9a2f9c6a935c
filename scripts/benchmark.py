"""Measure speed as ratios: layers, training steps, and the data pipeline, all in one run.

python scripts/benchmark.py steps
python scripts/benchmark.py all --output results/benchmark.md
"""

import keras_resnext.benchmark.command

if __name__ == "__main__":
    keras_resnext.benchmark.command.main()
