"""What all tests share: hypothesis draws the same examples in every run, and has no deadline, since kernels compile."""

from hypothesis import settings

settings.register_profile("pynomaly", deadline=None, derandomize=True)
settings.load_profile("pynomaly")
