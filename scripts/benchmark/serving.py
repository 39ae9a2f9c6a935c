"""Inference of the exported ResNeXt-50 32x4d on 224x224 pixels, against PyTorch."""

from turns import Contestant, parser, print_title, race

BACKENDS = {"eager PyTorch": "torch", "compiled PyTorch": "torch", "SavedModel": "tensorflow"}

if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    options.add_argument("--calls", type=int, default=3, help="calls per turn")
    chosen = options.parse_args()
    print_title(f"Inference, {chosen.batch_size} images per call, float32")
    contestants = [Contestant(name, b, chosen.batch_size) for name, b in BACKENDS.items()]
    print(race(contestants, chosen.rounds, chosen.calls))
