"""What compiled code relies on in the arrays that it is given, checked where they come from a file.

Kernels do not look whether an index lies inside its array. What a fit makes always does; what is read from a
file may be anybody's, so that every state says what its kernels rely on in a method `check`, in these terms.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pynomaly.errors import ModelCorrupt

DEEPEST = 64  # level of a tree, and so the most turns of a loop that goes down one


def require(holds: Any, what: str) -> None:
    """Raise ModelCorrupt unless something holds."""
    if not holds:
        raise ModelCorrupt(f"the model is damaged: {what}")


def shapes(fields: Any, d: int, **expected: str) -> dict[str, int]:
    """Check the shapes of some fields, and return the lengths that their letters stand for.

    A shape is written as in `Floats  # [d, k + 2]`, without brackets and commas: `"d k+2"`. `d` is the number of
    features; any other letter stands for what it is in the first array, and for the same in all others.
    """
    lengths = {"d": d}
    for name, axes in expected.items():
        shape, wanted = getattr(fields, name).shape, axes.split()
        require(len(shape) == len(wanted), f"`{name}` has {len(shape)} axes")
        for length, axis in zip(shape, wanted, strict=True):
            letter, _, more = axis.partition("+")
            known = int(letter) if letter.isdigit() else lengths.setdefault(letter, length - int(more or 0))
            require(0 <= known == length - int(more or 0), f"`{name}` is {shape} in place of [{axes}]")
    return lengths


def within(values: Any, low: Any, end: Any, what: str) -> None:
    """Check that whole numbers lie from `low` to before `end`, all of them or each its own."""
    values = np.asarray(values)
    require(((values >= low) & (values < end)).all(), f"`{what}` points outside of its array")


def finite(values: Any, what: str) -> None:
    """Check that there is neither NaN nor infinity."""
    require(np.isfinite(values).all(), f"`{what}` is not finite")


def runs(starts: Any, n: int, what: str) -> Any:
    """Check that these are the beginnings of runs that fill n places, and its end; return the runs' lengths."""
    lengths = np.diff(np.asarray(starts).astype(np.int64))
    require(len(starts) and starts[0] == 0 and starts[-1] == n and (lengths >= 0).all(), f"`{what}` is out of order")
    return lengths


def levels(n_leaves: int, fan: int, at_least_one: bool) -> Sequence[int]:
    """How many nodes the levels above so many leaves have, up to a level of one."""
    counts: list[int] = []
    below = n_leaves
    while below > 1 or (at_least_one and not counts):
        below = -(-below // fan)
        counts.append(below)
    return counts
