"""One file an algorithm: its kernel, its state, its parameters and its record."""
