"""PyOD and scikit-learn: one table of rows, and one adapter that makes each row an algorithm."""

import importlib
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from pynomaly.algorithm import Algorithm, Flags, Floats, Params, State
from pynomaly.errors import AlgorithmUnavailable, FitFailed
from pynomaly.rows import hash_rows

Field = tuple[str, Any, Any]  # name, type, default: what msgspec.defstruct takes

SEED_LIMIT = 2**32  # numpy's older random generator, which both libraries use, takes no larger seed
MANY = 100_000

# What the libraries warn of while they fit, and why it is not passed on.
SILENCED = (
    (UserWarning, ".*covariance matrix.*not full rank"),  # correlated columns: a pseudo-inverse serves, as meant
    (RuntimeWarning, ".*[Dd]eterminant has increased"),  # MCD stops this start and keeps its best one
    (UserWarning, "max_samples .* is greater than"),  # it is lowered to the number of rows, as our own forest does
    (UserWarning, "n_neighbors .* is greater than"),  # lowered likewise
    (UserWarning, "Duplicate values are leading to incorrect results"),  # equal rows are common in tables
    (UserWarning, "Number of distinct clusters"),  # fewer distinct rows than components; the mixture still fits
    (RuntimeWarning, "Precision loss occurred in moment calculation"),  # a nearly flat column has no skewness
    (UserWarning, "Best performing initialization did not converge"),  # its best fit is used; max_iter is a parameter
)
LIBRARY_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One class of a library: where it is, what it promises, and which of its parameters users may set.

    `constants` are arguments that the adapter itself needs. `fits_distinct` fits each distinct row once;
    `fits_centred` subtracts the medians first. `caveat` is the record's.
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
    scores_new_rows: bool = True
    max_rows: int | None = None
    neighbors: str | None = None
    fits_distinct: bool = False
    fits_centred: bool = False
    caveat: str | None = None


class WrappedState(State, frozen=True):
    """A fitted detector of a library, with the training score of each distinct row under the hash of its values."""

    medians: Floats  # float64[d], what a gap counts as
    varying: Flags  # bool[d], the columns that the detector sees; several detectors divide by the variance
    hashes: NDArray[np.uint64]  # uint64[m], sorted
    scores: Floats  # float64[m]
    detector: object  # None where all rows that have any value are equal


def _integer(name: str, default: int | str | None, what: str, low: int, high: int) -> Field:
    return name, _optional(Annotated[int, Meta(ge=low, le=high)], default, (), what), default


def _number(
    name: str,
    default: float | str | None,
    what: str,
    high: float,
    *,
    above: float | None = None,
    low: float | None = None,
    words: tuple[str, ...] = (),
) -> Field:
    """A real parameter in [low, high] or (above, high], or one of these words."""
    limits = Meta(ge=low, le=high) if above is None else Meta(gt=above, le=high)
    return name, _optional(Annotated[float, limits], default, words, what), default


def _choice(name: str, default: str, what: str, *choices: str) -> Field:
    return name, Annotated[Literal[choices], Meta(description=what)], default


def _flag(name: str, default: bool, what: str) -> Field:
    return name, Annotated[bool, Meta(description=what)], default


def _optional(kind: Any, default: object, words: tuple[str, ...], what: str) -> Any:
    """A number that may also be None, or a word, when the default is one."""
    if default is None:
        kind = kind | None
    if isinstance(default, str):
        kind = kind | Literal[words or (default,)]
    return Annotated[kind, Meta(description=what)]


FOREST = (
    _integer("n_estimators", 100, "Number of trees", 1, 10_000),
    _integer("max_samples", "auto", "Rows drawn for each tree; auto is 256, or all where there are fewer", 2, 262_144),
    _number("max_features", 1.0, "Share of the columns that each tree sees", 1.0, above=0.0),
    _flag("bootstrap", False, "Draw rows with replacement"),
)
DISTANCE = (
    _choice(
        "metric", "minkowski", "Distance between rows", "minkowski", "manhattan", "euclidean", "chebyshev", "cosine"
    ),
    _number("p", 2, "Power of the Minkowski distance", 100.0, low=1.0),
)
ROBUST_COVARIANCE = (
    _number(
        "support_fraction", None, "Share of the rows that the raw estimate uses; none is the smallest", 1.0, above=0.0
    ),
    _flag("assume_centered", False, "Take the centre to be the origin"),
)

TABLE = (
    Row(
        name="pyod_ecod",
        target="pyod.models.ecod.ECOD",
        summary="Empirical tail probabilities by column, PyOD's version that ranks train and test rows together",
        family="probability",
        reference="Li, Zhao, Hu, Botta, Ionescu & Chen 2022",
        complexity="O(d * n * log(n))",
        deterministic=True,
        scores_new_rows=False,
        max_rows=1_000_000,
    ),
    Row(
        name="pyod_copod",
        target="pyod.models.copod.COPOD",
        summary="Tail probabilities of the empirical copula, with a correction for skewness",
        family="probability",
        reference="Li, Zhao, Botta, Ionescu & Hu 2020",
        complexity="O(d * n * log(n))",
        deterministic=True,
        scores_new_rows=False,
        max_rows=1_000_000,
    ),
    Row(
        name="pyod_sos",
        target="pyod.models.sos.SOS",
        summary="Probability that no other row picks this row as its neighbour",
        family="probability",
        reference="Janssens, Huszar, Postma & van den Herik 2012",
        complexity="O(d * n^2)",
        deterministic=True,
        parameters=(
            _number("perplexity", 4.5, "Effective number of neighbours of a row", 1000.0, low=1.0),
            _choice("metric", "euclidean", "Distance between rows", "euclidean", "cityblock", "chebyshev"),
            _number("eps", 1e-5, "Tolerance of the search for a row's perplexity", 1.0, above=0.0),
        ),
        scores_new_rows=False,
        max_rows=5_000,
        fits_distinct=True,  # more copies of a row than the perplexity make every affinity, so every score, 0 / 0
        fits_centred=True,  # its Euclidean distance, by squares, loses every digit far from zero
    ),
    Row(
        name="pyod_iforest",
        target="pyod.models.iforest.IForest",
        summary="Isolation forest of PyOD",
        family="isolation",
        reference="Liu, Ting & Zhou 2008",
        complexity="O(n_estimators * log(max_samples) * n)",
        deterministic=False,
        parameters=FOREST,
    ),
    Row(
        name="pyod_knn",
        target="pyod.models.knn.KNN",
        summary="Distance to the k nearest rows, of PyOD",
        family="neighbours",
        reference="Ramaswamy, Rastogi & Shim 2000",
        complexity="O(d * n * log(n)) with few columns, O(d * n^2) with many",
        deterministic=True,
        parameters=(
            _integer("n_neighbors", 5, "Number of neighbours", 1, MANY),
            _choice("method", "largest", "How the distances become one score", "largest", "mean", "median"),
            *DISTANCE,
        ),
        neighbors="n_neighbors",
    ),
    Row(
        name="pyod_hbos",
        target="pyod.models.hbos.HBOS",
        summary="Histogram-based score of PyOD: how empty a row's bins are, summed over the columns",
        family="histogram",
        reference="Goldstein & Dengel 2012",
        complexity="O(d * n)",
        deterministic=True,
        parameters=(
            _integer("n_bins", 10, "Number of bins", 2, MANY),
            _number("alpha", 0.1, "Density added to each bin, so that an empty one has a logarithm", 0.999, above=0.0),
            _number("tol", 0.5, "How many bin widths outside the range still count as the last bin", 0.999, above=0.0),
        ),
    ),
    Row(
        name="pyod_pca",
        target="pyod.models.pca.PCA",
        summary="Distance to the principal axes, weighted towards those of small variance, of PyOD",
        family="linear",
        reference="Shyu, Chen, Sarinnapakorn & Chang 2003",
        complexity="O(d^2 * n)",
        deterministic=False,  # with few components of many columns the solver is a random one
        parameters=(
            _integer("n_components", None, "Number of principal axes; none is all of them", 1, MANY),
            _integer("n_selected_components", None, "How many of the last axes count; none is all of them", 1, MANY),
            _flag("whiten", False, "Scale the axes to unit variance"),
            _flag("weighted", True, "Divide by the share of variance that an axis explains"),
            _flag("standardization", True, "Scale the columns to mean 0 and variance 1 first"),
        ),
    ),
    Row(
        name="pyod_mcd",
        target="pyod.models.mcd.MCD",
        summary="Mahalanobis distance under the minimum covariance determinant",
        family="linear",
        reference="Rousseeuw & Van Driessen 1999",
        complexity="O(d^2 * n), many times",
        deterministic=False,
        parameters=ROBUST_COVARIANCE,
    ),
    Row(
        name="pyod_gmm",
        target="pyod.models.gmm.GMM",
        summary="Negative log-likelihood under a mixture of Gaussians",
        family="probability",
        reference="Dempster, Laird & Rubin 1977",
        complexity="O(n_components * d^2 * n) a step",
        deterministic=False,
        parameters=(
            _integer("n_components", 1, "Number of Gaussians", 1, 1000),
            _choice("covariance_type", "full", "What the Gaussians may look like", "full", "tied", "diag", "spherical"),
            _number("tol", 1e-3, "Gain of likelihood below which a fit stops", 1.0, above=0.0),
            _number("reg_covar", 1e-6, "Added to the variances so that none is 0", 1e6, low=0.0),
            _integer("max_iter", 100, "Largest number of steps of a fit", 1, MANY),
            _integer("n_init", 1, "Number of starts, of which the best is kept", 1, 1000),
            _choice(
                "init_params", "kmeans", "How a start is found", "kmeans", "k-means++", "random", "random_from_data"
            ),
        ),
    ),
    Row(
        name="pyod_loda",
        target="pyod.models.loda.LODA",
        summary="Mean negative log-density in the histograms of sparse random projections",
        family="histogram",
        reference="Pevny 2016",
        complexity="O(n_random_cuts * d * n)",
        deterministic=False,
        parameters=(
            _integer("n_bins", 10, "Number of bins of each histogram", 2, MANY),
            _integer("n_random_cuts", 100, "Number of random projections", 1, MANY),
        ),
        caveat="PyOD looks up the bin above a value's own: where that one is empty, ordinary rows score above far ones",
    ),
    Row(
        name="sklearn_isolation_forest",
        target="sklearn.ensemble.IsolationForest",
        summary="Isolation forest of scikit-learn",
        family="isolation",
        reference="Liu, Ting & Zhou 2008",
        complexity="O(n_estimators * log(max_samples) * n)",
        deterministic=False,
        parameters=FOREST,
    ),
    Row(
        name="sklearn_local_outlier_factor",
        target="sklearn.neighbors.LocalOutlierFactor",
        summary="Local density of a row's neighbours over its own, of scikit-learn",
        family="neighbours",
        reference="Breunig, Kriegel, Ng & Sander 2000",
        complexity="O(d * n * log(n)) with few columns, O(d * n^2) with many",
        deterministic=True,
        parameters=(_integer("n_neighbors", 20, "Number of neighbours", 1, MANY), *DISTANCE),
        constants={"novelty": True},  # without it the fitted detector cannot score other rows
        neighbors="n_neighbors",
    ),
    Row(
        name="sklearn_one_class_svm",
        target="sklearn.svm.OneClassSVM",
        summary="Distance to the boundary that a support vector machine draws around most rows",
        family="linear",
        reference="Schoelkopf, Platt, Shawe-Taylor, Smola & Williamson 2001",
        complexity="O(d * n^2) to O(d * n^3)",
        deterministic=True,
        max_rows=50_000,
        parameters=(
            _choice("kernel", "rbf", "Kernel", "rbf", "linear", "poly", "sigmoid"),
            _number("nu", 0.5, "Upper bound on the share of rows outside the boundary", 1.0, above=0.0),
            _number("gamma", "scale", "Width of the kernel", 1e9, above=0.0, words=("scale", "auto")),
            _integer("degree", 3, "Degree of the poly kernel", 0, 100),
            _number("coef0", 0.0, "Constant term of the poly and sigmoid kernels", 1e9, low=-1e9),
            _number("tol", 1e-3, "Tolerance at which a fit stops", 1.0, above=0.0),
        ),
    ),
    Row(
        name="sklearn_elliptic_envelope",
        target="sklearn.covariance.EllipticEnvelope",
        summary="Mahalanobis distance under a robust covariance, of scikit-learn",
        family="linear",
        reference="Rousseeuw & Van Driessen 1999",
        complexity="O(d^2 * n), many times",
        deterministic=False,
        parameters=ROBUST_COVARIANCE,
    ),
)


def record(row: Row) -> Algorithm:
    """The algorithm that a row of the table describes; imports no library."""
    params: Any = msgspec.defstruct(
        f"{row.name}_params", row.parameters, bases=(Params,), frozen=True, forbid_unknown_fields=True
    )
    return Algorithm(
        name=row.name,
        summary=row.summary,
        kind="table",
        family=row.family,
        reference=row.reference,
        complexity=row.complexity,
        params=params,
        fit=partial(_fit, row),
        score=partial(_score, row),
        deterministic=row.deterministic,
        handles_missing=False,
        scores_new_rows=row.scores_new_rows,
        uses_own=True,
        max_rows=row.max_rows,
        requires=row.target.partition(".")[0],
        neighbors=row.neighbors,
        caveat=row.caveat,
    )


def load(row: Row) -> Any:
    """The class behind a row; AlgorithmUnavailable when it cannot be imported."""
    module, _, name = row.target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise AlgorithmUnavailable(f"`{row.name}` cannot be imported: {error}", "install what is missing") from error


def _fit(row: Row, X: Floats, params: Params, seed: int) -> WrappedState:
    """Fit to the rows that have any value. Equal rows share one training score, the mean of theirs.

    The libraries may score equal rows differently, by which of several equally near neighbours they meet
    first. A row is looked up by value, so its copies must agree; the mean prefers none of them.
    """
    medians = _medians(X)
    rows = _filled(X[~_is_empty(X)], medians)
    varying = (rows != rows[:1]).any(axis=0)
    hashes, first, copy_of = np.unique(hash_rows(rows, 0), return_index=True, return_inverse=True)
    if row.fits_distinct:
        rows, copy_of = rows[first], np.arange(len(first))
    if not varying.any():
        return WrappedState(medians, varying, hashes, np.full(len(hashes), np.nan), None)
    if row.fits_centred:
        rows = rows - medians
    detector, scores = _trained(row, rows[:, varying], params, seed)
    return WrappedState(medians, varying, hashes, np.bincount(copy_of, scores) / np.bincount(copy_of), detector)


def _trained(row: Row, rows: Floats, params: Params, seed: int) -> tuple[object, Floats]:
    """A detector fitted to complete rows, and their training scores."""
    with _library(row):
        detector = load(row)(**_arguments(row, params, seed, len(rows))).fit(rows)
        scores = _finite(_training_scores(detector, rows))
    if np.isnan(scores).all():
        raise FitFailed(
            f"`{row.name}` finds no finite score for any of {len(rows)} rows",
            "leave out columns that follow from others, or use another algorithm",
        )
    return detector, scores


def _score(row: Row, state: WrappedState, X: Floats, own: Flags) -> Floats:
    """Training scores of rows known by value, the detector's own score of others where it can give one."""
    out = np.full(len(X), np.nan)
    present = ~_is_empty(X)
    if state.detector is None or not present.any():
        return out
    rows = _filled(X[present], state.medians)
    hashes = hash_rows(rows, 0)
    places = np.minimum(np.searchsorted(state.hashes, hashes), len(state.hashes) - 1)
    known = (state.hashes[places] == hashes) & (own[present] | (not row.scores_new_rows))
    scores = np.where(known, state.scores[places], np.nan)
    if row.scores_new_rows and not known.all():
        with _library(row):
            scores[~known] = _finite(_new_scores(state.detector, rows[~known][:, state.varying]))
    out[present] = scores
    return out


def _medians(X: Floats) -> Floats:
    """The median of each column, 0 for a column of gaps."""
    return np.asarray(np.nanmedian(np.where(np.isnan(X).all(axis=0), 0.0, X), axis=0))


def _filled(X: Floats, medians: Floats) -> Floats:
    """A copy whose gaps are the medians."""
    return np.where(np.isnan(X), medians, X)


def _is_empty(X: Floats) -> Flags:
    return np.asarray(np.isnan(X).all(axis=1))


def _finite(scores: Floats) -> Floats:
    """NaN, which is no opinion, where a library's arithmetic overflowed."""
    values = np.asarray(scores, dtype=np.float64).ravel()
    return np.where(np.isfinite(values), values, np.nan)


def _arguments(row: Row, params: Params, seed: int, n_rows: int) -> dict[str, Any]:
    """The constructor's arguments; fewer neighbours when rows of gaps left fewer rows."""
    arguments = {**msgspec.structs.asdict(params), **row.constants}
    if row.neighbors is not None:
        arguments[row.neighbors] = min(arguments[row.neighbors], n_rows - 1)
    if "random_state" in inspect.signature(load(row)).parameters:
        arguments["random_state"] = seed % SEED_LIMIT
    return arguments


def _training_scores(detector: Any, X: Floats) -> Any:
    """Larger is more anomalous; a neighbour method's score of a row does not count the row itself."""
    if hasattr(detector, "decision_scores_"):
        return detector.decision_scores_
    if hasattr(detector, "negative_outlier_factor_"):
        return -detector.negative_outlier_factor_
    return -detector.score_samples(X)


def _new_scores(detector: Any, X: Floats) -> Any:
    """Larger is more anomalous: so in PyOD, and the opposite in scikit-learn."""
    return detector.decision_function(X) if hasattr(detector, "decision_scores_") else -detector.score_samples(X)


class _Silence:
    """The filters of SILENCED while any thread is inside.

    The interpreter has one list of filters for all threads. Two threads that each saved and restored it
    could leave it changed for good, so the first one in saves it and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                for category, message in SILENCED:
                    warnings.filterwarnings("ignore", message, category)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_SILENCE = _Silence()


@contextmanager
def _library(row: Row) -> Iterator[None]:
    """Run a library's code: numpy's warnings of overflow become NaN scores, its errors one of ours."""
    try:
        with np.errstate(all="ignore"), _SILENCE:
            yield
    except LIBRARY_FAILURES as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FitFailed(
            f"`{row.name}` cannot work with these rows: {told}", "change its parameters, or use another algorithm"
        ) from error
