"""Models as bytes: own kernels' as arrays that anybody may read, a library's pickled and signed."""

from pynomaly.stored.models import digest, dump, load

__all__ = ["digest", "dump", "load"]
