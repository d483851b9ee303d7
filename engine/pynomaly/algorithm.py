"""The record of an algorithm: everything that SQL, Python, the shell and the docs know of it is read from here."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every algorithm's parameters: a field with its type, range, default and description is a parameter."""


class NoParams(Params, frozen=True):
    """The algorithm has no parameters."""


class State(msgspec.Struct, frozen=True, gc=False):
    """Base of every algorithm's fitted state: named arrays and numbers, which the garbage collector need not visit.

    A state whose class says in `check` what its kernels rely on is stored without a signature; see
    `pynomaly.stored`. The fields are arrays, numbers, texts, states, tuples of these, or None, and typed so.
    """

    def check(self, d: int) -> None:
        """Raise ModelCorrupt unless the kernels can score and explain rows of d features with this state."""


class Algorithm(msgspec.Struct, frozen=True, kw_only=True):
    """One algorithm: its name, what it promises, and its functions.

    `X` is float64[n, d], finite or NaN where a cell is a gap. Scores are float64[n]; larger is more
    anomalous, NaN means no opinion. `caveat` says where a far row may fail to score high; `cut_off` is the
    score above which a row is anomalous by definition, where there is one; `limit_reason` is why there is
    `max_rows`; `requires` names the packages that must be installed; `members` and `rule` are those of a
    combination.
    """

    name: str
    summary: str
    kind: str
    family: str
    reference: str
    complexity: str
    params: type[Params]
    fit: Callable[[Floats, Any, int], State]
    score: Callable[[Any, Floats, Flags], Floats]
    explain: Callable[[Any, Floats], Floats] | None = None
    deterministic: bool = True
    handles_missing: bool = True
    scores_new_rows: bool = True
    uses_own: bool = False
    max_rows: int | None = None
    limit_reason: str | None = None
    requires: tuple[str, ...] = ()
    neighbors: str | None = None
    caveat: str | None = None
    cut_off: float | None = None
    members: tuple[str, ...] = ()
    rule: str | None = None


def algorithm(**record: Any) -> Callable[[type], Algorithm]:
    """Turn a class with static `fit`, `score` and perhaps `explain` into the record of an algorithm.

    The class's name becomes the algorithm's, the first line of its docstring the summary. Keywords are the
    fields of `Algorithm`: `kind`, `family`, `reference`, `complexity` (in n rows and d columns), `params`,
    `deterministic` (the seed does not matter), `handles_missing` (a gap needs no imputation),
    `uses_own` (training rows score differently from new ones), `neighbors` (the parameter that counts
    neighbours, so that it can be checked against the number of rows).
    """

    def register(implementation: type) -> Algorithm:
        functions: Any = implementation
        return Algorithm(
            name=implementation.__name__,
            summary=(implementation.__doc__ or "").strip().partition("\n")[0].rstrip("."),
            fit=functions.fit,
            score=functions.score,
            explain=getattr(functions, "explain", None),
            **record,
        )

    return register
