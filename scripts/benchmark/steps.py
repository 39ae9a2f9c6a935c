"""Whole training steps by `model.fit`, against plain PyTorch or, for minutes, plain Keras."""

from turns import Contestant, parser, print_title, race

if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--against", choices=("plain PyTorch", "plain Keras"))
    options.add_argument("--rounds", type=int, default=7, help="turns of each contestant")
    options.add_argument("--steps", type=int, default=2, help="steps per turn")
    options.add_argument("--precision", default="float32", help="a Keras dtype policy")
    chosen = options.parse_args()
    arguments = (chosen.batch_size, chosen.precision)
    print_title(f"Training step, batch {chosen.batch_size}, {chosen.precision}")
    ours = [Contestant("keras_resnext", backend, *arguments) for backend in chosen.backends]
    if chosen.against == "plain Keras":
        for contestant in ours:
            peer = Contestant("plain Keras", contestant.backend, *arguments)
            print(race([peer, contestant], chosen.rounds, chosen.steps), end="\n\n", flush=True)
    else:
        peer = Contestant("plain PyTorch", "torch", *arguments)
        print(race([peer, *ours], chosen.rounds, chosen.steps))
