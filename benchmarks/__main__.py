"""Every figure, printed in one run; the arguments are those of `benchmarks.speed`."""

import sys

from benchmarks import accuracy, speed

speed.main(sys.argv[1:])
accuracy.main()
