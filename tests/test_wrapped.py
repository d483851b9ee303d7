"""The adapter of PyOD and scikit-learn: what a library cannot do is told, and what it does to the process is undone."""

import importlib
import os
import random
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from pynomaly import registry, wrapped
from pynomaly.algorithm import Floats
from pynomaly.errors import AlgorithmUnavailable, FitFailed
from pynomaly.wrapped import training
from pynomaly.wrapped.row import always

NETWORKS = [row for row in wrapped.TABLE if row.is_network]
every_row = pytest.mark.parametrize("row", wrapped.TABLE, ids=lambda row: row.name)
PLAIN = wrapped.Row(
    name="pyod_plain",
    target=f"{__name__}.Plain",
    summary="The sum of a row",
    family="none",
    reference="none",
    complexity="O(n)",
    deterministic=True,
)


class Plain:
    """A library's detector: the sum of a row. It notes the shape of each batch that it scores."""

    shapes: ClassVar[list[tuple[int, ...]]] = []

    def fit(self, X: Floats) -> "Plain":
        self.decision_scores_ = X.sum(axis=1)
        return self

    def decision_function(self, X: Floats) -> Floats:
        Plain.shapes.append(X.shape)
        return np.asarray(X.sum(axis=1))


def column(*values: float) -> Floats:
    return np.array(values)[:, None]


def gaussian(n: int = 60, d: int = 3) -> Floats:
    return np.random.default_rng(0).normal(size=(n, d))


def own_scores(name: str, X: Floats, **given: object) -> Floats:
    found = registry.get(name)
    params, _ = registry.parse_parameters(found, given)
    return found.score(found.fit(X, params, 0), X, np.ones(len(X), np.bool_))


def library_class(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


@every_row
def test_a_limit_has_a_reason(row: wrapped.Row) -> None:
    assert (row.limit_reason is None) == (row.max_rows is None and row.max_columns is None)
    assert row.scores_new_rows or row.max_rows is not None


@pytest.mark.parametrize("row", NETWORKS, ids=lambda row: row.name)
def test_a_network_without_torch_is_told(row: wrapped.Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None if package == "torch" else True)
    with pytest.raises(AlgorithmUnavailable, match=r"needs the package `torch`; pip install torch$"):
        registry.get(row.name)


def test_every_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: True if package == "pyod" else None)
    with pytest.raises(AlgorithmUnavailable, match=r"packages? `torch`, `tqdm`; pip install torch tqdm"):
        registry.get("pyod_vae")


def test_the_lists_import_no_torch() -> None:
    program = "import sys; from pynomaly import registry; registry.records(); print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_scores_that_are_all_infinite_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_training_scores", lambda detector, X: np.full(len(X), np.inf))
    found, X = registry.get("pyod_knn"), column(*np.arange(10.0))
    with pytest.raises(FitFailed, match=r"`pyod_knn` finds no finite score for any of 10 rows; leave out"):
        found.fit(X, found.params(), 0)


def test_an_error_of_the_library_is_one_of_ours() -> None:
    found, X = registry.get("pyod_pca"), np.random.default_rng(0).normal(size=(20, 3))
    params, _ = registry.parse_parameters(found, {"n_components": 9})
    with pytest.raises(FitFailed, match=r"`pyod_pca` cannot work with these rows: .*n_components=9"):
        found.fit(X, params, 0)


def test_a_class_that_cannot_be_imported_is_told() -> None:
    row = msgspec.structs.replace(wrapped.TABLE[0], name="pyod_nothing", target="pyod.models.nothing.Nothing")
    found = wrapped.record(row)
    with pytest.raises(AlgorithmUnavailable, match="`pyod_nothing` cannot be imported: No module named"):
        found.fit(column(1.0, 2.0, 3.0), found.params(), 0)


def test_too_many_columns_are_told() -> None:
    with pytest.raises(FitFailed, match=r"`pyod_rod` takes 15 columns at most, not 16: it takes all triples"):
        own_scores("pyod_rod", gaussian(d=16))


def test_more_columns_than_rows_are_told_where_they_leave_nothing() -> None:
    with pytest.raises(FitFailed, match=r"`pyod_cd` needs more rows than columns, and there are 8 rows and 12 columns"):
        own_scores("pyod_cd", gaussian(8, 12))


def test_a_gap_counts_as_the_median() -> None:
    found, X = registry.get("pyod_knn"), column(0.0, 1.0, 2.0, 3.0, 10.0, np.nan)
    params, _ = registry.parse_parameters(found, {"n_neighbors": 1})
    state = found.fit(X, params, 0)
    assert found.score(state, X, np.ones(6, np.bool_))[:5].tolist() == [1.0, 1.0, 1.0, 1.0, 7.0]
    assert np.isnan(found.score(state, X, np.ones(6, np.bool_))[5])


@pytest.mark.parametrize(("d", "times"), [(1, 3.5), (10, 0.8)])
def test_little_memory_is_needed_beside_the_rows(d: int, times: float) -> None:
    """8 bytes a row are the detector's own scores, and 16 the hashes and training scores, which are kept."""
    found, X = wrapped.record(msgspec.structs.replace(PLAIN, quick_cells=10**9)), gaussian(100_000, d)
    found.fit(X[:100], found.params(), 0)
    tracemalloc.start()
    try:
        found.fit(X, found.params(), 0)
        assert tracemalloc.get_traced_memory()[1] < times * X.nbytes
    finally:
        tracemalloc.stop()


def test_copies_share_the_mean_of_their_training_scores() -> None:
    found, X = registry.get("pyod_knn"), column(0.0, 0.0, 0.0, 5.0, 9.0)
    params, _ = registry.parse_parameters(found, {"n_neighbors": 3})
    scores = found.score(found.fit(X, params, 0), X, np.ones(5, np.bool_))
    assert scores.tolist() == [5.0, 5.0, 5.0, 5.0, 9.0]


def test_a_fitted_row_that_counts_as_new_is_its_own_neighbour() -> None:
    found, X = registry.get("pyod_knn"), column(0.0, 1.0, 3.0, 7.0)
    params, _ = registry.parse_parameters(found, {"n_neighbors": 1})
    state = found.fit(X, params, 0)
    own = np.array([True, False, True, False])
    assert found.score(state, X, own).tolist() == [1.0, 0.0, 2.0, 0.0]


def test_too_few_distinct_rows_score_0() -> None:
    assert own_scores("pyod_abod", column(0.0, 0.0, 1.0, 1.0, 1.0)).tolist() == [0.0] * 5


def test_numbers_that_follow_the_rows_are_lowered() -> None:
    assert np.isfinite(own_scores("pyod_sod", gaussian(6))).all()
    assert np.isfinite(own_scores("pyod_sampling", gaussian(6), subset_size=50)).all()


def test_new_rows_are_scored_in_whole_blocks() -> None:
    found, X = wrapped.record(msgspec.structs.replace(PLAIN, scored_in=8)), gaussian(20)
    state = found.fit(X, found.params(), 0)
    Plain.shapes.clear()
    assert np.array_equal(found.score(state, X, np.zeros(20, np.bool_)), X.sum(axis=1))
    assert Plain.shapes == [(8, 3)] * 3


def test_centred_rows_lose_their_medians() -> None:
    found, X = wrapped.record(msgspec.structs.replace(PLAIN, centred=always)), gaussian(21) + 1e9
    state, expected = found.fit(X, found.params(), 0), (X - np.median(X, axis=0)).sum(axis=1)
    for own in (True, False):
        assert np.array_equal(found.score(state, X, np.full(21, own)), expected)


def test_a_detector_that_scores_no_new_rows_is_not_kept() -> None:
    found = registry.get("pyod_ecod")
    state: Any = found.fit(gaussian(), found.params(), 0)
    assert state.detector is None


@pytest.mark.parametrize(
    ("name", "library", "X"),
    [
        ("pyod_cblof", "pyod.models.cblof.CBLOF", np.vstack([gaussian(90), gaussian(9) + 50.0])),
        ("pyod_cd", "pyod.models.cd.CD", gaussian()),
        ("pyod_loci", "pyod.models.loci.LOCI", gaussian(70)),
        ("pyod_loci", "pyod.models.loci.LOCI", np.round(gaussian(70, 2) * 2.0)),
        ("pyod_mad", "pyod.models.mad.MAD", gaussian(d=1)),
        ("pyod_rod", "pyod.models.rod.ROD", gaussian(d=5)),
        ("pyod_rod", "pyod.models.rod.ROD", gaussian()),
        ("pyod_sod", "pyod.models.sod.SOD", gaussian()),
    ],
)
def test_a_mended_class_equals_the_librarys_where_that_works(name: str, library: str, X: Floats) -> None:
    """Equal rows apart, which share a mean."""
    seed = {"random_state": 0} if name == "pyod_cblof" else {}
    with np.errstate(all="ignore"):
        expected = library_class(library)(**seed).fit(X).decision_scores_
    np.testing.assert_allclose(own_scores(name, X), np.nan_to_num(expected), rtol=1e-9, atol=1e-9)


def test_clusters_that_are_all_large() -> None:
    """PyOD's CBLOF fails here: seven of eight equal clusters hold less than nine tenths of the rows."""
    X = column(*np.repeat(np.arange(8.0), 10)) * 100.0 + column(*np.random.default_rng(0).normal(size=80))
    with pytest.raises(ValueError, match="valid cluster separation"):
        library_class("pyod.models.cblof.CBLOF")(random_state=0).fit(X)
    assert np.isfinite(own_scores("pyod_cblof", X)).all()


def test_mad_takes_the_largest_column_and_one_that_is_mostly_one_value() -> None:
    X = np.hstack([column(*[0.0] * 7, 1.0, -1.0), column(*np.arange(9.0))])
    scores, of_first = own_scores("pyod_mad", X), own_scores("pyod_mad", X[:, :1])
    assert scores[7] == of_first[7] == pytest.approx(1.0 / (1.2533 * 2 / 9))
    assert np.array_equal(scores, np.maximum(of_first, own_scores("pyod_mad", X[:, 1:])))


def test_rod_ends_on_values_of_any_size() -> None:
    assert np.isfinite(own_scores("pyod_rod", gaussian(d=2) * 1e14)).all()


def test_numba_threads_of_a_library_do_not_meet() -> None:
    """The workqueue layer aborts the process when two threads enter it."""
    program = (
        "from concurrent.futures import ThreadPoolExecutor; import numpy as np; from pynomaly import registry\n"
        "found = registry.get('pyod_qmcd'); X = np.random.default_rng(0).normal(size=(2000, 10))\n"
        "fit = lambda i: found.score(found.fit(X, found.params(), i), X, np.zeros(len(X), bool))\n"
        "with ThreadPoolExecutor(4) as pool: print(len(list(pool.map(fit, range(8)))))"
    )
    settings = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=settings, check=False)
    assert told.stdout.strip() == "8", told.stderr


@pytest.mark.parametrize("name", ["pyod_auto_encoder", "pyod_ae1svm", "pyod_so_gaal", "pyod_mo_gaal"])
def test_a_network_leaves_no_trace(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, and the generators and settings of the process are as before."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    found = registry.get(name)

    def traces() -> list[object]:
        numpy_state: Any = np.random  # the older generator, which PyOD uses
        return [
            random.getstate(),
            numpy_state.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            os.environ.get("PYTHONHASHSEED"),
        ]

    before = traces()
    state = found.fit(gaussian(33), found.params(), 3)
    found.score(state, gaussian(33), np.zeros(33, np.bool_))
    assert traces() == before
    assert capfd.readouterr() == ("", "")


def test_networks_of_two_threads_do_not_mix_their_seeds() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    found, X = registry.get("pyod_so_gaal"), gaussian()

    def scores(seed: int) -> list[float]:
        return [float(score) for score in found.score(found.fit(X, found.params(), seed), X, np.ones(len(X), np.bool_))]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(scores, range(4))) == [scores(seed) for seed in range(4)]


def test_filters_of_warnings_come_back_when_the_last_thread_leaves() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_fit_mixture, range(8)))
    assert list(warnings.filters) == before


def _fit_mixture(seed: int) -> None:
    """Two distinct rows and three Gaussians: scikit-learn warns each time."""
    found = registry.get("pyod_gmm")
    params, _ = registry.parse_parameters(found, {"n_components": 3})
    found.fit(column(0.0, 0.0, 0.0, 1.0, 1.0), params, seed)
