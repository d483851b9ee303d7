"""What the adapter knows of one class of a library: where it is, what it promises, and its parameters."""

from collections.abc import Callable
from typing import Any

import msgspec

from pynomaly.wrapped.parameters import Field

# Parameters of the libraries' classes that no user sets, and why.
LEFT_OUT = {
    "contamination": "the cut-off is ours, on any detector's scores",
    "random_state": "the seed of the query",
    "n_jobs": "the engine has its own threads",
    "device": "the library's choice, the accelerator where there is one",
    "verbose": "a query prints nothing",
    "verbose_interval": "a query prints nothing",
    "algorithm": "how neighbours are searched: speed only",
    "leaf_size": "how neighbours are searched: speed only",
    "breadth_first": "how neighbours are searched: speed only",
    "metric_params": "an object of Python",
    "cache_size": "memory of the solver: speed only",
    "shrinking": "a heuristic of the solver: speed only",
    "store_precision": "the score needs it",
    "warm_start": "a detector is fitted once",
    "copy": "the rows are the adapter's own",
    "copy_X": "the rows are the adapter's own",
    "use_compile": "speed only",
    "compile_mode": "speed only",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One class of a library: where it is, what it promises, and which of its parameters users may set.

    `constants` are arguments that the adapter itself needs; a function among them is called for each detector.
    `left_out` are parameters of this class that users cannot set, with the reason. `at_most` names parameters
    that may not exceed the number of rows plus that much, and are lowered to it. `limit_reason` is why there is
    `max_rows` or `max_columns`. `fits_distinct` fits each distinct row once; with fewer than `least_distinct` of
    them the method has nothing to compare and all score 0. `exceeds_columns`: it needs more rows than columns.
    `centred` tells, of the parameters, whether to subtract the medians first. `scored_in` pads a batch of new
    rows to a multiple of this many, so that rounding does not follow the batch. `quick_cells` is the largest table,
    in rows x columns, that the defaults fit in about half a second; one under ten columns counts as one of ten.
    `needs` are packages besides the library. `prints_in` is a module whose prints are not passed on.
    `runs_threads`: its numba code starts threads. `caveat` is the record's.
    """

    name: str
    target: str
    summary: str
    family: str
    reference: str
    complexity: str
    deterministic: bool
    parameters: tuple[Field, ...] = ()
    constants: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    scores_new_rows: bool = True
    max_rows: int | None = None
    max_columns: int | None = None
    limit_reason: str | None = None
    neighbors: str | None = None
    at_most: dict[str, int] = {}
    fits_distinct: bool = False
    least_distinct: int = 2
    exceeds_columns: bool = False
    centred: Callable[[Any], bool] | None = None
    scored_in: int | None = None
    quick_cells: int = 10_000
    needs: tuple[str, ...] = ()
    prints_in: str | None = None
    runs_threads: bool = False
    caveat: str | None = None

    @property
    def packages(self) -> tuple[str, ...]:
        """The library, by the first part of the row's name, and what it needs besides."""
        return self.name.partition("_")[0], *self.needs

    @property
    def is_network(self) -> bool:
        """Whether it is trained by torch, which draws from one generator for the whole process."""
        return "torch" in self.needs

    @property
    def is_alone(self) -> bool:
        """Whether it must not run in two threads at once: numba aborts the process, or generators get mixed up."""
        return self.runs_threads or self.is_network


def always(params: Any) -> bool:  # noqa: ARG001 - asked of any parameters
    """Distances lose every digit far from zero where a class computes them by squares."""
    return True


def by_distance(params: Any) -> bool:
    """A kernel of distances does not see where zero is, unless its width comes from the squares of the values."""
    return bool(params.kernel == "rbf" and params.gamma != "scale")
