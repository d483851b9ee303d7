"""What a detection would cost: measured on a few rows of its source, and carried on as its algorithm grows."""

import contextlib
import math
import re
import time
import tracemalloc

import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import arrays, model, registry, workers
from pynomaly.algorithm import Algorithm
from pynomaly.errors import BadParameter, FitFailed
from pynomaly.options import Options

SIZES = (128, 512, 2_048, 8_192, 32_768)  # rows of the trial fits; each is made while the time for it is left
BUDGET_SECONDS = 1.0
NEAR = 0.7  # of the rows that are given: a trial of so many is as good as one of all
MARGIN = 1.5
LEAST_TRIALS = 2  # one alone does not tell growth: it takes more than the budget if it must
QUICK_SECONDS = 0.1  # a fit so quick is made again, to see what it allocates
WARM_UP_ROWS = 32
CHUNK = 2_048  # rows that DuckDB has scored at a time
HANDED_SECONDS = 1.5e-8  # to hand a cell from DuckDB to a function
SCANNED_ALONE = 122_880  # rows of a row group, which one thread reads
LOG_GROWTH = 0.1  # what a factor log(n) adds to the exponent of n at these sizes
COPIES = 4  # of the matrix, where it cannot be seen what a fit allocates
GATHERED = 2  # copies of a sampled cell that DuckDB and Arrow hold at once
STREAMED = 64  # chunks that are on their way at a time


class Cost(msgspec.Struct, frozen=True):
    """What `estimate_cost` tells."""

    algorithm: str
    n_rows: int
    n_features: int
    seconds: float
    peak_memory_bytes: int
    basis: str


class Trial(msgspec.Struct, frozen=True):
    """A fit to some rows: its seconds, and those of scoring one row by it."""

    n: int
    fit_seconds: float
    row_seconds: float
    n_features: int


def estimate(rows: pa.StructArray, n_rows: int, asked: Options, scan_seconds: float) -> Cost:
    """The cost of a detection in a source of `n_rows` rows, some of which are given.

    `scan_seconds` is how long it took to read the source once. Raises TooManyRows where the detection would.
    """
    algorithm = registry.resolve(asked.algorithms or (registry.auto(n_rows),), asked.combine)
    n_fitted = min(n_rows, asked.sample_rows)
    model.check_size(algorithm, n_fitted, n_rows)
    named = msgspec.structs.replace(asked, algorithms=asked.algorithms or (algorithm.name,))
    is_whole = n_rows <= asked.sample_rows
    trials = _trials(rows, named, n_fitted, is_whole)
    high = exponent(algorithm)
    fit_seconds = _grown([(trial.n, trial.fit_seconds) for trial in trials], n_fitted, 1.0, high)
    row_seconds = _grown([(trial.n, trial.row_seconds) for trial in trials], n_fitted, 0.0, high - 1.0)
    cells = len(rows.type)
    threads = min(workers.current().threads, -(-n_rows // SCANNED_ALONE))
    return Cost(
        algorithm=algorithm.name,
        n_rows=n_rows,
        n_features=trials[-1].n_features,
        seconds=2.0 * scan_seconds + fit_seconds + (row_seconds + cells * HANDED_SECONDS) * n_rows / threads,
        peak_memory_bytes=_memory(rows, named, n_fitted, trials, high),
        basis=_basis([trial.n for trial in trials], n_fitted, algorithm),
    )


def exponent(algorithm: Algorithm) -> float:
    """The power of n that the algorithm's time grows with at most, by the complexity of its record."""
    text = algorithm.complexity
    powers = [int(power) for power in re.findall(r"\bn \*\* (\d)", text)]
    if powers:
        return float(max(powers))
    return 2.0 if "n" not in re.findall(r"\w+", text) else 1.0 + LOG_GROWTH * ("log(n)" in text)


def _trials(rows: pa.StructArray, asked: Options, n_fitted: int, is_whole: bool) -> list[Trial]:
    """Fits to more and more rows, as many as there is time for; those too few for the algorithm are left out.

    Where a detection fits all rows it finds their scores again; else it scores others, so that some are kept aside.
    """
    n_aside = 0 if is_whole else min(CHUNK, len(rows) // 2)
    scored = rows.slice(len(rows) - n_aside) if n_aside else None
    n_most = min(n_fitted, len(rows) - n_aside)
    sizes = [size for size in SIZES if size < NEAR * n_most] + [n_most]
    with contextlib.suppress(BadParameter, FitFailed):  # too few rows, or the error that comes below
        _tried(rows.slice(0, WARM_UP_ROWS), scored, asked)  # loads the kernels, or imports a library
    started, found = time.perf_counter(), list[Trial]()
    for n in sizes:
        try:
            found.append(_tried(rows.slice(0, n), scored, asked))
        except (BadParameter, FitFailed):
            if n == sizes[-1]:
                raise
            continue
        if len(found) >= LEAST_TRIALS and time.perf_counter() - started + _next_seconds(found) > BUDGET_SECONDS:
            break
    return found


def _next_seconds(found: list[Trial]) -> float:
    """How long the next trial may take: it grows as the last one did, and somewhat more."""
    before, last = (trial.fit_seconds for trial in found[-2:])
    return MARGIN * last * max(last / before, 1.0)


def _tried(rows: pa.StructArray, others: pa.StructArray | None, asked: Options) -> Trial:
    """One fit, and the scoring of a chunk: of other rows, or of its own where there are none."""
    n = len(rows)
    workers.check()
    started = time.perf_counter()
    fitted = model.fit(rows, asked, n if others is None else n + 1)
    fit_seconds = time.perf_counter() - started
    scored = rows if others is None else others
    chunk = scored.take(arrays.integers(np.arange(CHUNK) % len(scored)))
    started = time.perf_counter()
    fitted.score(chunk)
    return Trial(n, fit_seconds, (time.perf_counter() - started) / CHUNK, fitted.encoder.n_features)


def _grown(measured: list[tuple[int, float]], n: int, low: float, high: float) -> float:
    """A quantity at n rows, carried on from the last two measured: by a power between the two, or in a line."""
    last_n, last = measured[-1]
    if n <= last_n:
        return last
    if len(measured) < 2:
        return float(last * (n / last_n) ** high)
    before_n, before = measured[-2]
    power = math.log(max(last, 1e-9) / max(before, 1e-9)) / math.log(last_n / before_n)
    if power < low:  # a fixed part weighs more than the rest
        return last + max(last - before, 0.0) / (last_n - before_n) * (n - last_n)
    return float(last * (n / last_n) ** min(power, high))


def _memory(rows: pa.StructArray, asked: Options, n_fitted: int, trials: list[Trial], high: float) -> int:
    """Bytes: what a fit allocates, the sampled cells on their way to it, and the chunks that are scored."""
    quick = [trial.n for trial in trials if trial.fit_seconds < QUICK_SECONDS][-2:]
    allocated = [(n, float(_allocated(rows.slice(0, n), asked))) for n in quick]
    cells = rows.nbytes / len(rows)
    fitted = _grown(allocated, n_fitted, 1.0, high) if allocated else COPIES * cells * n_fitted
    return int(fitted + GATHERED * cells * n_fitted + STREAMED * CHUNK * cells)


def _allocated(rows: pa.StructArray, asked: Options) -> int:
    """The peak of what Python and numpy allocate while a model is fitted to rows."""
    if tracemalloc.is_tracing():  # somebody else measures
        return 0
    tracemalloc.start()
    try:
        model.fit(rows, asked, len(rows))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _basis(sizes: list[int], n: int, algorithm: Algorithm) -> str:
    """What the figures rest on, in words."""
    if n <= sizes[-1]:
        return f"measured on {sizes[-1]:,} rows"
    listed = " and ".join(f"{size:,}" for size in sizes[-2:])
    return f"measured on {listed} rows, carried on to {n:,} as {algorithm.complexity}"
