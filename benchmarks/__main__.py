"""Every figure, printed in one run."""

from benchmarks import accuracy, speed

speed.main()
accuracy.main()
