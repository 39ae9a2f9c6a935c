"""The command lines of `scripts/`: parse, call one function, print."""
