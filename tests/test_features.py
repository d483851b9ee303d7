"""Feature macros: what their class promises, and the libraries that compute the same."""

import math
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer

import pynomaly
from pynomaly import pipelines
from pynomaly.errors import NeedsHistory, PynomalyError
from pynomaly.feature_macros import MACROS
from pynomaly.kernels.ranks import normal_quantiles
from pynomaly.kernels.words import fill_shares
from pynomaly.quoting import literal
from pynomaly.steps import Step, parse

# A step for each macro, and the same called by itself: an expression, or a relation over `t`.
CALLS = {
    "log1p_signed": ("log1p_signed(a)", "log1p_signed(a)"),
    "ratio": ("ratio(a, b)", "ratio(a, b)"),
    "interaction": ("interaction(a, b)", "interaction(a, b)"),
    "hash_encode": ("hash_encode(c, buckets := 5)", "hash_encode(c, buckets := 5)"),
    "robust_zscore": ("robust_zscore(a)", "robust_zscore(a)"),
    "minmax": ("minmax(a)", "minmax(a)"),
    "rank_normal": ("rank_normal(a)", "rank_normal(a)"),
    "bin_quantile": ("bin_quantile(a, bins := 4)", "bin_quantile(a, bins := 4)"),
    "frequency_encode": ("frequency_encode(c)", "frequency_encode(c)"),
    "rolling_mean": ("rolling_mean(a, n, by := g, size := 3)", "rolling_mean(a, n, by := g, size := 3)"),
    "rolling_std": ("rolling_std(a, n, size := 3)", "rolling_std(a, n, size := 3)"),
    "rolling_min": ("rolling_min(a, n, by := [g, c])", "rolling_min(a, n, by := (g, c))"),
    "rolling_max": ("rolling_max(a, n, by := g)", "rolling_max(a, n, by := g)"),
    "rolling_quantile": ("rolling_quantile(a, n, q := 0.25)", "rolling_quantile(a, n, q := 0.25)"),
    "pct_change": ("pct_change(a, n, by := g)", "pct_change(a, n, by := g)"),
    "lag_features": (
        "lag_features([a, b], order_by := n, by := g, lags := [1, 3])",
        "lag_features('t', ['a', 'b'], order_by := 'n', by := 'g', lags := [1, 3])",
    ),
    "ewma": (
        "ewma(a, order_by := n, by := g, alpha := 0.4)",
        "ewma('t', 'a', order_by := 'n', by := 'g', alpha := 0.4)",
    ),
    "calendar_features": ("calendar_features(day)", "calendar_features('t', 'day')"),
    "fourier_features": (
        "fourier_features(day, period := week, harmonics := 2)",
        "fourier_features('t', 'day', period := 'week', harmonics := 2)",
    ),
    "one_hot": ("one_hot(c, n_values := 2)", "one_hot('t', 'c', n_values := 2)"),
    "text_length_features": ("text_length_features(c)", "text_length_features('t', 'c')"),
    "tfidf_features": ("tfidf_features(c, buckets := 3)", "tfidf_features('t', 'c', buckets := 3)"),
    "group_aggregates": (
        "group_aggregates(a, by := [c, g], aggregates := [mean, std, min, max, median, count])",
        "group_aggregates('t', 'a', by := ['c', 'g'], aggregates := ['mean', 'std', 'min', 'max', 'median', 'count'])",
    ),
}
NUMBERS = (
    st.none() | st.floats(-1e6, 1e6, allow_subnormal=False) | st.sampled_from([0.0, 1.0, 1e300, math.inf, math.nan])
)
TEXTS = st.none() | st.sampled_from(["red", "green", "", "two words", "Öl 42", 'it\'s "quoted"'])
ROW = st.tuples(NUMBERS, NUMBERS, TEXTS, st.none() | st.sampled_from([1, 2]))
TABLES = st.lists(ROW, min_size=5, max_size=24).filter(lambda rows: any(row[2] is not None for row in rows))


def of_class(*classes: str) -> list[str]:
    return [name for name, macro in MACROS.items() if macro.class_ in classes]


def landed(engine: pynomaly.Engine, rows: list[Any], name: str = "t") -> None:
    """A table of the drawn rows, numbered and dated in their order."""
    schema = {"a": pl.Float64, "b": pl.Float64, "c": pl.String, "g": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_row_index("n")
    day = pl.Series("day", [datetime(2026, 1, 1) + timedelta(hours=7 * i) for i in range(len(rows))])
    engine.register("_drawn", frame.with_columns(day))
    engine.execute(f"create or replace table {name} as from _drawn").fetchall()


def by_itself(engine: pynomaly.Engine, names: list[str], rows: str = "t") -> dict[str, list[Any]]:
    """The new columns of each macro alone, in the order of the rows."""
    scalar = [name for name in names if MACROS[name].kind == "scalar"]
    calls = ", ".join(f"({CALLS[name][1]})::double as {name}" for name in scalar)
    found = engine.execute(f"select {calls} from {rows} order by n").fetchall() if scalar else []
    columns = {name: [(row[place],) for row in found] for place, name in enumerate(scalar)}
    for name in set(names) - set(scalar):
        call = CALLS[name][1].replace("'t'", f"'{rows}'")
        columns[name] = engine.execute(f"select * exclude (a, b, c, g, n, day) from {call} order by n").fetchall()
    return columns


def by_kept(engine: pynomaly.Engine, names: list[str], rows: str) -> dict[str, list[Any]]:
    """The columns of steps that were fitted to `t`, over other rows."""
    engine.execute("delete from pynomaly.pipelines").fetchall()
    engine.define_pipeline("p", [CALLS[name][0] for name in names])
    kept = engine.execute("select pipeline from query(_kept_pipeline('t', 'p', null))").fetchall()[0][0]
    columns = {str(row[0]): str(row[1]) for row in engine.execute("describe t").fetchall()}
    placed = pipelines.place(parse(msgspec.json.decode(kept)["steps"]), columns)
    select = pipelines.select(rows, placed, f"(select {literal(kept)}::json as pipeline)")
    query = engine.sql(f"select * exclude (a, b, c, g, n, day) from ({select}) order by n")
    taken = [dict(zip(query.columns, row, strict=True)) for row in query.fetchall()]
    of_macro = {
        name: [made for item in placed if item.step.macro == name for made in item.piece.outputs] for name in names
    }
    return {name: [tuple(row[made] for made in of_macro[name]) for row in taken] for name in names}


def check_equal(found: dict[str, list[Any]], wanted: dict[str, list[Any]], rows: slice, tolerance: float = 0.0) -> None:
    """NULL for NULL, in the order of the columns."""
    assert found.keys() == wanted.keys()
    for name in found:
        pairs = found[name], wanted[name][rows]
        flat = [[math.nan if value is None else value for row in table for value in row] for table in pairs]
        assert np.allclose(flat[0], flat[1], rtol=tolerance, atol=tolerance, equal_nan=True), (name, flat)


@pytest.fixture(scope="module")
def engine() -> Any:
    with pynomaly.connect() as opened:
        yield opened


DRAWN = settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
WHOLE = slice(None)


def test_there_is_a_call_of_each_macro() -> None:
    assert CALLS.keys() == MACROS.keys()


@given(rows=TABLES)
@DRAWN
def test_stateless_gives_a_row_by_itself_what_it_gives_the_table(engine: pynomaly.Engine, rows: list[Any]) -> None:
    landed(engine, rows)
    whole = by_itself(engine, of_class("stateless"))
    engine.execute("create or replace table one as from t where n = 3").fetchall()
    check_equal(by_itself(engine, of_class("stateless"), "one"), whole, slice(3, 4))


@given(rows=TABLES)
@DRAWN
def test_a_kept_step_gives_a_training_row_what_the_macro_gives_the_table(
    engine: pynomaly.Engine, rows: list[Any]
) -> None:
    names = of_class("stateless", "fitted")
    landed(engine, rows)
    whole = by_itself(engine, names)
    check_equal(by_kept(engine, names, "t"), whole, WHOLE)
    check_equal(by_kept(engine, names, "(from t where n = 3)"), whole, slice(3, 4))


@given(rows=TABLES, end=st.integers(1, 24))
@DRAWN
def test_history_gives_a_tail_with_its_history_what_it_gives_the_whole(
    engine: pynomaly.Engine, rows: list[Any], end: int
) -> None:
    landed(engine, rows)
    names = of_class("history")
    whole = by_itself(engine, names)
    engine.execute(f"create or replace table earlier as from t where n < {end}").fetchall()
    check_equal(by_itself(engine, names, "earlier"), whole, slice(end), 1e-9)
    check_equal(by_kept(engine, names, "earlier"), whole, slice(end), 1e-9)


@pytest.mark.parametrize("name", of_class("history"))
def test_a_row_by_itself_has_no_history(name: str) -> None:
    with pynomaly.connect() as engine:
        landed(engine, [(i % 7 + 0.5, i % 5 + 1.0, "red", 1) for i in range(40)])
        engine.define_pipeline("p", CALLS[name][0])
        engine.train("m", "t", algorithm="hbos", pipeline="p")
        assert engine.score("t", "m").arrow().num_rows == 40
        with pytest.raises(NeedsHistory, match="reads earlier rows"):
            engine.execute("select anomaly_score('m', t) from t").fetchall()


@pytest.mark.parametrize("name", list(MACROS))
def test_a_model_with_a_pipeline_scores_as_the_detection_that_fits_it(name: str) -> None:
    with pynomaly.connect() as engine:
        landed(
            engine, [((i * 37) % 101 / 7, i % 13 + 1.0, ["red", "green wood", "it's"][i % 3], i % 2) for i in range(90)]
        )
        engine.define_pipeline("p", [CALLS[name][0], "b"])
        engine.train("m", "t", algorithm="hbos", pipeline="p")
        detected = engine.detect("t", algorithm="hbos", pipeline="p").pl().sort("n")
        scored = engine.score("t", "m").pl().sort("n")
        assert detected.equals(scored)
        if MACROS[name].class_ != "history":
            alone = engine.execute("select anomaly_score('m', t) from t order by n").fetchall()
            assert [row[0] for row in alone] == scored["anomaly_score"].to_list()
            lone = "select anomaly_score('m', t) from (from t where n = 17) as t"
            assert engine.execute(lone).fetchall() == [alone[17]]


def test_rank_normal_is_the_quantile_transformer_of_sklearn(engine: pynomaly.Engine) -> None:
    x = np.random.default_rng(0).exponential(size=1000)
    engine.register("values", pl.DataFrame({"x": x}))
    ours = [row[0] for row in engine.execute('select rank_normal(x) from "values"').fetchall()]
    theirs = QuantileTransformer(n_quantiles=129, output_distribution="normal", subsample=None).fit_transform(
        x[:, None]
    )
    assert np.allclose(ours, theirs.ravel(), atol=1e-6)


def test_the_normal_quantile_is_that_of_scipy() -> None:
    from scipy.stats import norm

    p = np.concatenate([np.geomspace(1e-7, 0.5, 500), 1 - np.geomspace(1e-7, 0.5, 500)])
    assert np.allclose(normal_quantiles(p), norm.ppf(p), atol=1e-8)


@pytest.mark.parametrize("alpha", [0.001, 0.3, 0.97, 1.0])
def test_ewma_and_rolling_are_those_of_pandas(engine: pynomaly.Engine, alpha: float) -> None:
    rng = np.random.default_rng(1)
    x = np.where(rng.random(3000) < 0.1, np.nan, rng.normal(size=3000))
    frame = pd.DataFrame({"n": np.arange(3000), "x": x, "g": rng.integers(0, 2, 3000)})
    engine.register("series", frame)
    ours = engine.sql(f"from ewma('series', 'x', order_by := 'n', by := 'g', alpha := {alpha}) order by n").df()
    theirs = frame.groupby("g")["x"].transform(lambda v: v.ewm(alpha=alpha).mean())
    assert np.allclose(ours["x_ewma"], theirs, rtol=1e-9, atol=1e-12, equal_nan=True)
    for name in ("mean", "std", "min", "max"):
        ours = engine.sql(f"select n, rolling_{name}(x, n, by := g, size := 4) as r from series order by n").df()
        theirs = getattr(frame.groupby("g")["x"].rolling(4, min_periods=1), name)().droplevel(0).sort_index()
        assert np.allclose(ours["r"], theirs, rtol=1e-9, atol=1e-9, equal_nan=True), name


def test_words_are_hashed_as_the_definition_says() -> None:
    def naive(text: str, buckets: int) -> list[float]:
        words, word = [], b""
        for byte in [*text.encode(), 32]:
            if byte >= 128 or chr(byte).isalnum():
                word += bytes([byte])
            elif word:
                words.append(word)
                word = b""
        shares = [0.0] * buckets
        for word in words:
            hashed = 14695981039346656037
            for byte in word:
                hashed = (hashed ^ byte) * 1099511628211 % 2**64
            shares[hashed % buckets] += 1 / len(words)
        return shares

    for text in ("", "one", "two words, and Öl!", "a-a a", "日本 x"):
        data, out = text.encode(), np.zeros((1, 7))
        fill_shares(np.frombuffer(data, np.uint8), np.array([0, len(data)], np.int32), out)
        assert np.allclose(out[0], naive(text, 7))


NAMES = st.text(min_size=1, max_size=8).filter(lambda name: name.strip() == name and name.isprintable())


@given(column=NAMES, order=NAMES, by=st.none() | st.lists(NAMES, min_size=1, max_size=3), alias=st.none() | NAMES)
@settings(deadline=None)
def test_a_step_is_what_it_is_written_as(column: str, order: str, by: list[str] | None, alias: str | None) -> None:
    step = Step("rolling_mean", (column,), {"order_by": order, "by": by, "size": 9}, alias)
    assert parse(str(step)) == [step]
    hot = Step("one_hot", (column,), {"values": [order, *(by or ())], "n_values": 10})
    assert [str(found) for found in parse(str(hot))] == [str(parse(str(hot))[0])]
    assert parse(str(Step("column", (column,)))) == [Step("column", (column,))]


@given(st.text(max_size=30))
def test_any_text_is_a_step_or_an_error(text: str) -> None:
    try:
        steps = parse(text)
    except PynomalyError as error:
        mend = error.mend
    else:
        mend = "none needed"
        assert parse([str(step) for step in steps]) == steps
    assert mend
