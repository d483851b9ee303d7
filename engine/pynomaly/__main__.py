"""`python -m pynomaly` is the command `pynomaly`."""

import sys

from pynomaly.cli import main

if __name__ == "__main__":
    sys.exit(main())
