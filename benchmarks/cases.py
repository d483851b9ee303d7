"""Every case as data: what runs, beside what, on which rows, and what must hold."""

from typing import Any, NamedTuple

MILLION = 1_000_000


class Side(NamedTuple):
    """A function of `sides` and its arguments."""

    name: str
    options: dict[str, Any]


class Limit(NamedTuple):
    """What must hold of a measure: `ratio` (the peer's seconds over ours), `seconds`, `peak_mib`, `p99_ms`, ..."""

    measure: str
    least: float | None = None
    most: float | None = None


class Case(NamedTuple):
    """One line of the table; a case that is no gate informs only, a full one runs with `--full` only."""

    title: str
    n_rows: int
    ours: Side
    peer: Side | None = None
    limits: tuple[Limit, ...] = ()
    gate: bool = True
    full: bool = False
    n_columns: int = 10


def _sql(algorithm: str, **options: Any) -> Side:
    return Side("sql", {"algorithm": algorithm, **options})


def _pyod(module: str, name: str, **parameters: Any) -> Side:
    return Side("pyod_fit", {"module": module, "name": name, **parameters})


def _ratio(least: float) -> tuple[Limit, ...]:
    return (Limit("ratio", least=least),)


def _beside(algorithm: str, n_rows: int, peer: Side, least: float) -> list[Case]:
    """The whole query with the default sample, and with all rows in it, beside a peer's call in memory."""
    told = f"{n_rows // 1_000:,}k x 10, {'isotree' if peer.name == 'isotree' else 'PyOD fit'}"
    cases = [Case(f"{algorithm}, {told}", n_rows, _sql(algorithm), peer, _ratio(least))]
    if n_rows > 262_144:
        whole = _sql(algorithm, sample_rows=n_rows)
        cases.append(Case(f"{algorithm}, {told}, all rows fitted", n_rows, whole, peer, gate=False))
    return cases


FOREST = _pyod("iforest", "IForest")
CASES = [
    *_beside("iforest", MILLION, FOREST, 8.0),
    Case("iforest, 1,000k x 10, isotree", MILLION, _sql("iforest"), Side("isotree", {}), _ratio(12.0)),
    *_beside("ecod", MILLION, _pyod("ecod", "ECOD"), 6.0),
    *_beside("copod", MILLION, _pyod("copod", "COPOD"), 6.0),
    *_beside("loda", MILLION, _pyod("loda", "LODA"), 6.0),
    *_beside("hbos", MILLION, _pyod("hbos", "HBOS"), 2.0),
    *_beside("pca", MILLION, _pyod("pca", "PCA"), 1.5),
    *_beside("knn", 100_000, _pyod("knn", "KNN"), 7.0),
    *_beside("lof", 100_000, _pyod("lof", "LOF"), 8.0),
    *(
        Case(
            f"{name}, 1,000k new rows, PyOD score",
            MILLION,
            Side("sql_new_rows", {"algorithm": name}),
            Side("pyod_score", {"module": name, "name": name.upper()}),
            _ratio(15.0),
        )
        for name in ("ecod", "copod")
    ),
    *(
        Case(
            f"{name}, one row of a fitted model",
            100_000,
            Side("sql_one_row", {"algorithm": name}),
            limits=(Limit("p50_ms", most=2.0), Limit("p99_ms", most=10.0)),
        )
        for name in ("iforest", "ecod", "knn")
    ),
    *(
        Case(
            f"{name}, 10,000 groups of 100",
            MILLION,
            Side("sql_groups", {"algorithm": name, "n_groups": 10_000}),
            limits=(Limit("seconds", most=5.0),),
        )
        for name in ("iforest", "ecod")
    ),
    *(
        Case(f"{name}, two threads beside one", n, _sql(name, threads=2), _sql(name, threads=1), _ratio(1.7))
        for name, n in (("iforest", MILLION), ("knn", 100_000))
    ),
    *(
        Case(f"hbos, {n:,} x {d:,}", n, _sql("hbos"), limits=(Limit("peak_mib", most=4_096.0),), n_columns=d)
        for n, d in ((10_000, 1_000), (1_000, 10_000))
    ),
    Case("knn, 1,000k x 10", MILLION, _sql("knn"), limits=(Limit("seconds", most=60.0),), full=True),
    *(
        Case(
            f"{name}, {n // MILLION}M x 10 on disk",
            n,
            _sql(name, on_disk=True),
            limits=(Limit("rows_per_second", least=1e6), Limit("peak_mib", most=2_048.0)),
            full=n > MILLION,
        )
        for name in ("hbos", "ecod", "iforest")
        for n in (MILLION, 10 * MILLION, 100 * MILLION)
    ),
]
