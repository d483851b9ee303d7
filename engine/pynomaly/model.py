"""A fitted model: the encoding of its columns, the algorithm's state, and its cut-off."""

import hashlib
import pickle
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pynomaly import deviations, registry, workers
from pynomaly.algorithm import Algorithm, Flags, Floats, State
from pynomaly.cutoffs import estimated_threshold, threshold_for_share
from pynomaly.encoding import Encoder, fit_encoders, without_nulls
from pynomaly.errors import SourceSingleUse, TooManyRows
from pynomaly.known import KnownRows, known_rows
from pynomaly.options import Options
from pynomaly.rows import hash_rows

Hashes = NDArray[np.uint64]

BLOCK = 4_096  # rows that are scored at a time
CELLS = 1 << 19  # that are encoded at a time: a thread that waits for the interpreter between blocks waits long
PROBE = 64  # rows that tell how long a block takes, and the smallest: kernels take so many together
SECONDS = 0.05
WORTH_A_NOTE = 0.9  # of the rows that a contamination asks for: where fewer are flagged it is told


class Model(msgspec.Struct, frozen=True, gc=False):
    """Everything that scores a row.

    `state` is None where it is not needed, as every row is known, and where every feature is constant and all scores
    are 0.
    """

    algorithm: Algorithm
    encoder: Encoder
    state: State | None
    deviations: State | None
    block: int  # rows that are scored between two looks at whether to stop
    known: KnownRows | None  # training scores; None where a training row is scored as cheaply as looked up
    is_closed: bool  # every row is known: another one means that the source has changed
    threshold: float | None
    cut_off: str
    explain: int
    seed: int
    notes: tuple[str, ...]
    fitted_rows: int = 0  # of the sample, and the SHA-256 of their values; not known of a stored model or a group's
    fingerprint: str = ""

    def score(self, rows: pa.StructArray) -> tuple[Floats, Floats]:
        """The scores (float64[n], NaN for no opinion) of rows and the matrix they were computed from.

        A row with the values of a training row has its training score.
        """
        X = self.encoder.transform(rows)
        if self.known is None:
            return self._new_scores(X), X
        return self.encoded_scores(X, hash_rows(X, self.seed)), X

    def encoded_scores(self, X: Floats, hashes: Hashes) -> Floats:
        """The scores of rows that are encoded already, with their hashes."""
        if self.known is None:
            return self._new_scores(X)
        scores, known, missing = self.known.look_up(hashes)
        if missing:
            scores[~known] = self._new_scores(X[~known])
        return scores

    def _new_scores(self, X: Floats) -> Floats:
        """The scores of rows that are not looked up."""
        if self.is_closed:
            raise SourceSingleUse(
                "the source gave other rows when it was read again",
                "load it into a table first, so that it stays the same",
            )
        if self.state is None:
            return np.zeros(len(X))
        return _scores(self.algorithm, self.state, X, False, self.block)

    def contributions(self, X: Floats) -> Floats:
        """float64[n, n_features]: how much each feature adds to the score, or how far it deviates.

        An algorithm without reasons of its own gives the robust z-score of each feature.
        """
        return deviations.contributions(registry.get, self.algorithm, self.state, self.deviations, X)

    def flags(self, scores: Floats) -> Flags:
        """Which scores lie above the threshold; none where a rank decides instead."""
        if self.threshold is None:
            return np.zeros(len(scores), dtype=np.bool_)
        flags: Flags = scores > self.threshold
        return flags

    def nbytes(self) -> int:
        """The size of the arrays that the model holds."""
        known = self.known.nbytes() if self.known is not None else 0
        return known + _nbytes(self.state) + _nbytes(self.deviations) + 4096


class Sample(msgspec.Struct, frozen=True, gc=False):
    """The sampled rows of a table (or of one group) as algorithms see them, in the order of their hashes.

    The order of rows from a query changes from run to run; the order of their hashes does not.
    """

    encoder: Encoder
    X: Floats
    hashes: Hashes
    n_rows: int  # of the whole table or group


def samples(rows: pa.StructArray, starts: Sequence[int], n_rows: Sequence[int], options: Options) -> list[Sample]:
    """Encode the sampled rows of groups: from one of the starts to the next, of `n_rows` rows each."""
    rows = without_nulls(rows)
    encoders = fit_encoders(rows, starts, n_rows, frozenset(options.features))
    matrices = encoded(encoders, rows, starts, options.seed)
    return list(map(_sample, encoders, matrices, n_rows))


def score_each(models: Sequence[Model], rows: pa.StructArray, starts: Sequence[int]) -> Iterator[Floats]:
    """The scores of rows by several models of one query: each has those from one of the starts to the next."""
    matrices = encoded([model.encoder for model in models], without_nulls(rows), starts, models[0].seed)
    return (model.encoded_scores(*matrix) for model, matrix in zip(models, matrices, strict=True))


def _sample(encoder: Encoder, matrix: tuple[Floats, Hashes], n_rows: int) -> Sample:
    encoded, hashes = matrix
    order, X = hashes.argsort(), np.empty_like(encoded)
    workers.over_rows(
        len(X),
        _rows_at_once(encoder),
        lambda first, end: encoded.take(order[first:end], axis=0, out=X[first:end], mode="clip"),
    )
    return Sample(encoder, X, hashes[order], n_rows)


def encoded(
    encoders: Sequence[Encoder], rows: pa.StructArray, starts: Sequence[int], seed: int
) -> Iterator[tuple[Floats, Hashes]]:
    """The matrix of each group's rows by its own encoder, and their hashes; neighbours that are alike in one go."""
    first = 0
    while first < len(encoders):
        end = first + 1
        while end < len(encoders) and encoders[end].is_like(encoders[first]):
            end += 1
        yield from _encoded_alike(encoders[first:end], rows, starts[first : end + 1], seed)
        first = end


def _encoded_alike(
    encoders: Sequence[Encoder], rows: pa.StructArray, starts: Sequence[int], seed: int
) -> Iterator[tuple[Floats, Hashes]]:
    begin, n = starts[0], starts[-1] - starts[0]
    X, hashes, untamed = np.empty((n, encoders[0].n_features)), np.empty(n, np.uint64), []

    def encode(first: int, end: int) -> None:
        untamed.append(encoders[0].fill(rows.slice(begin + first, end - first), X[first:end]))
        hashes[first:end] = hash_rows(X[first:end], seed)

    workers.over_rows(n, _rows_at_once(encoders[0]), encode)
    for encoder, (first, end) in zip(encoders, pairwise(starts), strict=True):
        if len(encoders) == 1 or all(untamed):
            yield X[first - begin : end - begin], hashes[first - begin : end - begin]
        else:
            yield from _encoded_alike([encoder], rows, (first, end), seed)


def _rows_at_once(encoder: Encoder) -> int:
    return max(CELLS // max(encoder.n_features, 1), BLOCK)


def fit(rows: pa.StructArray, options: Options, n_rows: int) -> Model:
    """Fit a model to the sampled rows of a table of `n_rows` rows."""
    return fit_sample(samples(rows, [0, len(rows)], [n_rows], options)[0], options)


def fit_sample(sample: Sample, options: Options) -> Model:
    """Fit a model to the sampled rows of a table or a group; NoUsableColumn when there is nothing to compare."""
    encoder, X, n_rows = sample.encoder, sample.X, sample.n_rows
    encoder.check_usable()
    algorithm = registry.resolve(options.algorithms or (registry.auto(n_rows),), options.combine)
    if encoder.n_features == 0:
        return _constant(algorithm, sample, options)
    check_size(algorithm, len(X), n_rows)
    params, notes = registry.parameters_for(algorithm, options.parameters, len(X))
    state = algorithm.fit(X, params, options.seed)
    block = _block(algorithm, state, X)
    scores = _scores(algorithm, state, X, True, block)
    threshold, cut_off = _cut_off(scores, options, algorithm)
    is_whole = len(X) == n_rows
    is_closed = options.grouped and is_whole
    is_spent = is_closed and not options.explain  # ten thousand forests would fill the memory
    return Model(
        algorithm=algorithm,
        encoder=encoder,
        state=None if is_spent else state,
        deviations=deviations.fit(registry.get, algorithm, X) if options.explain else None,
        block=block,
        known=known_rows(sample.hashes, scores) if algorithm.uses_own or is_whole else None,
        is_closed=is_closed,
        threshold=threshold,
        cut_off=cut_off,
        explain=options.explain,
        seed=options.seed,
        notes=(*notes, *_ties(scores, threshold, options)),
        fitted_rows=len(X),
        fingerprint="" if options.grouped else fingerprint(sample, options.seed),
    )


def fingerprint(sample: Sample, seed: int) -> str:
    """SHA-256 of the rows' values in a canonical order: equal rows, equal fingerprint, whatever the seed."""
    hashes = sample.hashes if seed == 0 else np.sort(hash_rows(sample.X, 0))
    return hashlib.sha256(hashes.astype("<u8", copy=False).tobytes()).hexdigest()


def _block(algorithm: Algorithm, state: State, X: Floats) -> int:
    """How many rows are scored in about `SECONDS`: some parameters, and many columns, make that few."""
    if len(X) < BLOCK // 4 or algorithm.requires or not algorithm.scores_new_rows:
        return BLOCK
    seconds = []
    for _ in range(2):  # the first may have to load the kernels
        started = time.thread_time()
        algorithm.score(state, X[:PROBE], np.zeros(PROBE, np.bool_))
        workers.check()
        seconds.append(time.thread_time() - started)
    return max(min(int(PROBE * SECONDS / max(min(seconds), 1e-6)), BLOCK), PROBE)


def _scores(algorithm: Algorithm, state: State, X: Floats, own: bool, block: int) -> Floats:
    """The scores of rows, which are those that the state was fitted to or not."""

    def score(first: int, end: int) -> Floats:
        return algorithm.score(state, X[first:end], np.full(end - first, own))

    return workers.per_row(len(X), block, score)


def _constant(algorithm: Algorithm, sample: Sample, options: Options) -> Model:
    return Model(
        algorithm=algorithm,
        encoder=sample.encoder,
        state=None,
        deviations=None,
        block=BLOCK,
        known=None,
        is_closed=False,
        threshold=None,
        cut_off="no cut-off: every row is equal in the columns that can be used, so every score is 0",
        explain=options.explain,
        seed=options.seed,
        notes=(),
        fitted_rows=len(sample.X),
        fingerprint="" if options.grouped else fingerprint(sample, options.seed),
    )


def check_size(algorithm: Algorithm, n_sampled: int, n_rows: int) -> None:
    """A detector that scores its own rows only must see them all; one with a limit must not see more."""
    limit = algorithm.max_rows or n_rows
    because = f": {algorithm.limit_reason}" if algorithm.limit_reason else ""
    if algorithm.scores_new_rows and n_sampled > limit:
        raise TooManyRows(
            f"`{algorithm.name}` fits {limit:,} rows at most, not {n_sampled:,}{because}",
            f"give sample_rows := {limit} or use a native algorithm such as `{_native_alternative(algorithm)}`",
        )
    if not algorithm.scores_new_rows and n_rows > limit:
        raise TooManyRows(
            f"`{algorithm.name}` scores a table as a whole, {limit:,} rows at most, not {n_rows:,}{because}",
            f"use a native algorithm such as `{_native_alternative(algorithm)}`",
        )
    if not algorithm.scores_new_rows and n_rows > n_sampled:
        raise TooManyRows(
            f"`{algorithm.name}` scores a table as a whole, and the sample has {n_sampled:,} of its {n_rows:,} rows",
            f"give sample_rows := {n_rows} or use a native algorithm such as `{_native_alternative(algorithm)}`",
        )


def _native_alternative(algorithm: Algorithm) -> str:
    bare = algorithm.name.partition("_")[2]
    return bare if bare in registry.names() else "iforest"


def _cut_off(scores: Floats, options: Options, algorithm: Algorithm) -> tuple[float | None, str]:
    """The threshold and how it was chosen, in words."""
    if options.top_k is not None:
        return None, f"the {options.top_k:,} highest scores"
    if options.threshold is not None:
        return options.threshold, "threshold as given"
    if np.isnan(scores).all():
        return None, "no cut-off: no row has a score"
    if options.contamination is not None:
        return threshold_for_share(scores, options.contamination), f"contamination {options.contamination:g} as given"
    if algorithm.cut_off is not None:
        return algorithm.cut_off, "threshold by the definition of the score"
    return estimated_threshold(
        scores, options.rule
    ), f"threshold estimated from the scores by the rule `{options.rule}`"


def _ties(scores: Floats, threshold: float | None, options: Options) -> tuple[str, ...]:
    """A note where so many rows have the score at the threshold that clearly fewer than the share lie above it."""
    if options.contamination is None or threshold is None:
        return ()
    asked = int(options.contamination * np.count_nonzero(~np.isnan(scores)))
    if np.count_nonzero(scores > threshold) >= WORTH_A_NOTE * asked:
        return ()
    return ("fewer rows are flagged than `contamination` asks for: ties at the threshold are not above it",)


def _nbytes(value: object) -> int:
    """The bytes of a state's arrays; a library's own object counts as its pickle."""
    match value:
        case None | int() | float() | str():
            return 64
        case np.ndarray():
            return value.nbytes
        case State():
            return sum(_nbytes(getattr(value, field)) for field in value.__struct_fields__)
        case tuple():
            return sum(map(_nbytes, value))
        case _:
            return len(pickle.dumps(value))
