"""What every registered algorithm promises, on arrays. No test names an algorithm: a new one is found by its record."""

import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pynomaly import registry, wrapped
from pynomaly.algorithm import Algorithm, Floats, State
from pynomaly.errors import FitFailed

# Names that cannot be a macro's parameter.
RESERVED = frozenset(
    {"by", "window", "offset", "limit", "order", "end", "column", "group", "to", "from", "on", "using", "table"}
    | {"check", "default", "unique"}
)
KINDS = frozenset({"table"})
SEED = 7
SLOW_ROWS = 1_000  # a detector that fits no more takes seconds for any table


def _unless_missing(name: str, value: object) -> Any:
    """A case that is skipped where a package of a wrapped class is missing, and slow where few rows take long."""
    marks = []
    for row in (row for row in wrapped.TABLE if row.name == name):
        missing = [package for package in row.packages if importlib.util.find_spec(package) is None]
        if missing:
            marks.append(pytest.mark.skip(f"{' and '.join(missing)} not installed"))
        if row.max_rows is not None and row.max_rows <= SLOW_ROWS:
            marks.append(pytest.mark.slow)
    return pytest.param(value, id=name, marks=marks)


every_algorithm = pytest.mark.parametrize("name", [_unless_missing(name, name) for name in registry.names()])
TWINS = [file.stem for file in (Path(__file__).parent / "naive").glob("*.py") if "def twin(" in file.read_text("utf-8")]
every_twin = pytest.mark.parametrize("name", sorted(TWINS))
every_wrapped = pytest.mark.parametrize("row", [_unless_missing(row.name, row) for row in wrapped.TABLE])


def gaussian(n: int = 200, d: int = 4, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d))


def fitted(found: Algorithm, X: Floats, seed: int = SEED) -> State:
    """Fit with the defaults, the neighbours lowered as the model layer lowers them."""
    given: dict[str, object] = {}
    if found.neighbors is not None:
        given[found.neighbors] = min(getattr(found.params(), found.neighbors), len(X) - 1)
    try:
        return found.fit(X, registry.parse_parameters(found, given)[0], seed)
    except FitFailed:
        if found.caveat:
            pytest.xfail(found.caveat)
        raise


def own_scores(found: Algorithm, X: Floats, seed: int = SEED) -> Floats:
    return found.score(fitted(found, X, seed), X, np.ones(len(X), np.bool_))


def new_scores(found: Algorithm, state: State, X: Floats) -> Floats:
    return found.score(state, X, np.zeros(len(X), np.bool_))


def _excused(found: Algorithm, is_high: bool) -> None:
    """A far row scores high, unless the record itself says that it may not."""
    if found.caveat and not is_high:
        pytest.xfail(found.caveat)
    assert is_high


@every_algorithm
def test_record_is_complete(name: str) -> None:
    found = registry.get(name)
    assert found.name == name
    assert found.kind in KINDS
    assert all((found.summary, found.family, found.reference, found.complexity))
    assert "\n" not in found.summary
    assert found.scores_new_rows or found.max_rows
    assert found.neighbors is None or found.neighbors in found.params.__struct_fields__


@every_algorithm
def test_parameters_are_described_and_bounded(name: str) -> None:
    for parameter in registry.parameters(registry.get(name)):
        assert parameter.name.lower() not in RESERVED
        assert parameter.description
        if parameter.type in {"INTEGER", "DOUBLE"}:
            assert parameter.minimum is not None
            assert parameter.maximum is not None
            assert parameter.minimum < parameter.maximum
        assert parameter.type != "VARCHAR" or parameter.choices


@every_algorithm
def test_defaults_are_valid(name: str) -> None:
    found = registry.get(name)
    defaults = found.params()
    given = {field: getattr(defaults, field) for field in found.params.__struct_fields__}
    assert registry.parse_parameters(found, given)[0] == defaults


@every_algorithm
def test_one_finite_score_a_row(name: str) -> None:
    X = gaussian()
    scores = own_scores(registry.get(name), X)
    assert scores.shape == (len(X),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@every_algorithm
def test_larger_is_more_anomalous(name: str) -> None:
    found, X = registry.get(name), gaussian()
    X[0] = 12.0
    scores = own_scores(found, X)
    _excused(found, scores[0] > np.quantile(scores, 0.99))


@every_algorithm
def test_a_new_outlier_scores_high(name: str) -> None:
    """A row that the fit did not see; detectors that score their own rows only have no opinion of it."""
    found, X = registry.get(name), gaussian()
    state = fitted(found, X)
    scores = new_scores(found, state, np.vstack([X, np.full((1, X.shape[1]), 12.0)]))
    if found.scores_new_rows:
        _excused(found, scores[-1] > np.quantile(scores[:-1], 0.99))
    else:
        assert np.isnan(scores[-1])
        assert np.array_equal(scores[:-1], found.score(state, X, np.ones(len(X), np.bool_)))


@every_algorithm
def test_same_seed_same_scores(name: str) -> None:
    found, X = registry.get(name), gaussian()
    first, reseeded = own_scores(found, X), own_scores(found, X, seed=2**61)
    assert np.array_equal(first, own_scores(found, X))
    assert np.array_equal(first, reseeded) or not found.deterministic


@every_algorithm
def test_input_is_unchanged(name: str) -> None:
    found, X = registry.get(name), gaussian()
    X[::7, 1] = np.nan
    before = X.copy()
    state = fitted(found, X)
    new_scores(found, state, X)
    if found.explain is not None:
        found.explain(state, X)
    assert np.array_equal(X, before, equal_nan=True)


@every_algorithm
@pytest.mark.parametrize("own", [True, False])
def test_a_score_does_not_depend_on_the_batch(name: str, own: bool) -> None:
    """Native scores to the last bit; a library's rounding may follow the shape of the batch."""
    found, X = registry.get(name), gaussian()
    state, flags = fitted(found, X), np.full(len(X), own)
    whole = found.score(state, X, flags)
    parts = [found.score(state, X[rows].copy(), flags[rows]) for rows in (slice(0, 67), slice(67, 68), slice(68, None))]
    tolerance = 1e-9 if found.requires else 0.0
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=tolerance, atol=tolerance)


@every_algorithm
@pytest.mark.parametrize("shape", [(5, 4), (5, 1), (60, 1), (8, 12)])
def test_small_and_narrow_tables(name: str, shape: tuple[int, int]) -> None:
    found, X = registry.get(name), gaussian(*shape)
    state = fitted(found, X)
    assert np.isfinite(found.score(state, X, np.ones(len(X), np.bool_))).all()
    if found.scores_new_rows:
        assert np.isfinite(new_scores(found, state, X + 0.1)).all()


@every_algorithm
@pytest.mark.parametrize(("n_distinct", "d"), [(2, 1), (5, 3), (40, 3)])
def test_ties_get_equal_finite_scores(name: str, n_distinct: int, d: int) -> None:
    found, distinct = registry.get(name), gaussian(n_distinct, d)
    copy_of = np.arange(80) % n_distinct
    scores = own_scores(found, distinct[copy_of])
    assert np.isfinite(scores).all()
    assert np.array_equal(scores, scores[:n_distinct][copy_of])


@every_algorithm
def test_a_flat_column_among_others(name: str) -> None:
    """A column may be flat in one group of a query and vary in another."""
    found, X = registry.get(name), gaussian(60)
    X[:, 2] = 5.0
    state = fitted(found, X)
    assert np.isfinite(found.score(state, X, np.ones(len(X), np.bool_))).all()
    changed = X.copy()
    changed[:, 2] = 6.0
    assert np.isfinite(new_scores(found, state, changed)).all() or not found.scores_new_rows


@every_algorithm
def test_a_column_far_from_zero(name: str) -> None:
    """A time in seconds: large, with a small spread."""
    found, X = registry.get(name), gaussian()
    X[:, 1] += 1.7e9
    X[0] = [0.0, 1.7e9 + 50.0, 0.0, 0.0]
    scores = own_scores(found, X)
    assert np.isfinite(scores).all()


@every_algorithm
def test_gaps_get_a_score_unless_the_row_has_nothing_else(name: str) -> None:
    found, X = registry.get(name), gaussian()
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    X[3] = np.nan
    empty = np.isnan(X).all(axis=1)
    state = fitted(found, X)
    assert np.isfinite(found.score(state, X, np.ones(len(X), np.bool_))[~empty]).all()
    unseen = gaussian(50, seed=2)
    unseen[::2, 1] = np.nan
    assert np.isfinite(new_scores(found, state, unseen)).all() or not found.scores_new_rows


@every_algorithm
def test_a_column_of_gaps(name: str) -> None:
    found, X = registry.get(name), gaussian(60)
    X[:, 1] = np.nan
    assert np.isfinite(own_scores(found, X)).all()


@every_algorithm
def test_a_row_of_gaps_alone_is_never_a_wrong_number(name: str) -> None:
    found, X = registry.get(name), gaussian(60)
    X[:10] = np.nan
    scores = own_scores(found, X)
    assert np.isfinite(scores[10:]).all()
    assert not np.isinf(scores[:10]).any()
    assert not (scores[:10] == 0.0).any()


@every_algorithm
def test_contributions_have_the_shape_of_the_input(name: str) -> None:
    found, X = registry.get(name), gaussian()
    if found.explain is None:
        pytest.skip("gives no reasons of its own")
    X[0, 2] = 12.0
    state = fitted(found, X)
    contributions = found.explain(state, X)
    assert contributions.shape == X.shape
    assert np.isfinite(contributions).all()
    assert contributions[0].argmax() == 2
    X[::5, 1] = np.nan
    assert np.isfinite(found.explain(state, X)[~np.isnan(X)]).all()


@st.composite
def tables(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Rows to fit and rows to score: ties, gaps, copies, flat columns, and values far from the others."""
    n, d = draw(st.integers(5, 30)), draw(st.integers(1, 5))
    cells = st.one_of(st.integers(-4, 4).map(lambda x: x / 2.0), st.floats(-100.0, 100.0, width=16), st.just(np.nan))
    return draw(arrays(np.float64, (n, d), elements=cells)), draw(arrays(np.float64, (6, d), elements=cells))


@every_twin
@given(rows=tables())
@settings(max_examples=30)
def test_scores_equal_the_naive_twin(name: str, rows: tuple[Floats, Floats]) -> None:
    found, (X, new) = registry.get(name), rows
    state = fitted(found, X)
    training, unseen = importlib.import_module(f"naive.{name}").twin(state, X, new, found.params())
    scores = found.score(state, X, np.ones(len(X), np.bool_))
    np.testing.assert_allclose(scores, training, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(new_scores(found, state, new), unseen, rtol=1e-9, atol=1e-9)


def _library_class(row: wrapped.Row) -> Any:
    module, _, name = row.target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _as_fitted(row: wrapped.Row, X: Floats) -> Floats:
    """The rows as the adapter hands them to the class."""
    centred = row.centred is not None and row.centred(registry.get(row.name).params())
    return X - np.median(gaussian(), axis=0) if centred else X


def _own_defaults(row: wrapped.Row) -> Any:
    """The class fitted as its library's user would, with its own defaults."""
    X, params = gaussian(), registry.get(row.name).params()
    given = wrapped.arguments(row, params, SEED, X.shape)
    beside = {name: value for name, value in given.items() if name not in params.__struct_fields__}
    with wrapped.running(row, SEED):
        return _library_class(row)(**beside).fit(_as_fitted(row, X))


def _larger_is_anomalous(detector: Any, X: Floats | None) -> Floats:
    """The library's training scores (no X) or its scores of X."""
    if hasattr(detector, "decision_scores_"):
        return np.asarray(detector.decision_scores_ if X is None else detector.decision_function(X))
    if X is None and hasattr(detector, "negative_outlier_factor_"):
        return np.asarray(-detector.negative_outlier_factor_)
    return np.asarray(-detector.score_samples(gaussian() if X is None else X))


@every_wrapped
def test_wrapped_scores_equal_the_library(row: wrapped.Row) -> None:
    found, peer = registry.get(row.name), _own_defaults(row)
    tolerance = 1e-5 if row.is_network else 1e-9  # networks compute in single precision
    state = fitted(found, gaussian())
    expected = _larger_is_anomalous(peer, None)
    scores = found.score(state, gaussian(), np.ones(len(expected), np.bool_))
    np.testing.assert_allclose(scores, expected, rtol=tolerance, atol=tolerance)
    if row.scores_new_rows:
        unseen = gaussian(50, seed=1)
        expected = _larger_is_anomalous(peer, _as_fitted(row, unseen))
        np.testing.assert_allclose(new_scores(found, state, unseen), expected, rtol=tolerance, atol=tolerance)


@every_wrapped
def test_wrapped_parameters_are_those_of_the_class(row: wrapped.Row) -> None:
    """Each is a parameter of ours, with the class's default, or a constant, or left out for a reason."""
    signature = inspect.signature(_library_class(row)).parameters
    defaults = registry.get(row.name).params()
    names = defaults.__struct_fields__
    for name in names:
        default = signature[name].default
        assert getattr(defaults, name) == default
        assert isinstance(getattr(defaults, name), type(default)) or isinstance(default, int)
    told = {*names, *row.constants, *row.left_out, *wrapped.LEFT_OUT}
    assert set(signature) <= told
    assert {*names, *row.constants, *row.left_out, *row.at_most} <= set(signature)
    assert not set(names) & {*row.constants, *row.left_out}
    assert row.deterministic != ("random_state" in signature or row.is_network)
