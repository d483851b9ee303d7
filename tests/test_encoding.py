"""The encoding of columns: the same rows give the same features, however and in whatever order they arrive."""

import datetime as dt
import decimal
from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pynomaly.columns import shortened
from pynomaly.encoding import Encoder, fit_encoder
from pynomaly.errors import NoUsableColumn, UnknownColumn
from pynomaly.features import LIMIT

Rows = Any  # pa.StructArray, untyped

EPOCH = dt.datetime(1970, 1, 1)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
DATES = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))
MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
SECONDS = MOMENTS.map(lambda moment: moment.replace(microsecond=0))
DURATIONS = st.timedeltas(dt.timedelta(days=-1000), dt.timedelta(days=1000))
DECIMALS = st.decimals(-(10**6), 10**6, places=3, allow_nan=False)
INTERVALS = st.tuples(st.integers(-30, 30), st.integers(-40, 40), st.integers(-(10**15), 10**15))


def whole(type_: str) -> st.SearchStrategy[int]:
    info = np.iinfo(type_)
    return st.integers(int(info.min), int(info.max))


TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    **{name: (getattr(pa, name)(), whole(name)) for name in ("int8", "int16", "int32", "int64")},
    **{name: (getattr(pa, name)(), whole(name)) for name in ("uint8", "uint16", "uint32", "uint64")},
    "half": (pa.float16(), st.sampled_from([0.5, -3.25, 7.0, float("nan"), float("inf"), 6e4])),
    "float": (pa.float32(), st.floats(width=32)),
    "double": (pa.float64(), FLOATS),
    "decimal": (pa.decimal128(12, 3), DECIMALS),
    "wide decimal": (pa.decimal256(50, 3), DECIMALS),
    "bool": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), DATES),
    "date64": (pa.date64(), DATES),
    "timestamp s": (pa.timestamp("s"), SECONDS),
    "timestamp ms": (pa.timestamp("ms"), SECONDS),
    "timestamp us": (pa.timestamp("us"), MOMENTS),
    "timestamp ns": (pa.timestamp("ns"), MOMENTS),
    "timestamp tz": (pa.timestamp("us", "Europe/Prague"), MOMENTS),
    "time32": (pa.time32("s"), st.times().map(lambda time: time.replace(microsecond=0))),
    "time64": (pa.time64("us"), st.times()),
    "duration": (pa.duration("us"), DURATIONS),
    "interval": (pa.month_day_nano_interval(), INTERVALS),
    "string": (pa.string(), TEXTS),
    "large string": (pa.large_string(), TEXTS),
    "string view": (pa.string_view(), TEXTS),
    "enum": (pa.dictionary(pa.int8(), pa.string()), TEXTS),
    "dictionary of numbers": (pa.dictionary(pa.int8(), pa.int64()), st.integers(-5, 5)),
    "uuid": (pa.uuid(), st.uuids().map(lambda found: found.bytes)),
    "json": (pa.json_(), st.sampled_from(["{}", "[]", "1"])),
}


def struct(**columns: Any) -> Rows:
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values()]
    return pa.StructArray.from_arrays(arrays, list(columns))


def fit(rows: Rows, *forced: str, n_rows: int | None = None) -> tuple[Encoder, np.ndarray]:
    encoder = fit_encoder(rows, n_rows or len(rows), frozenset(forced))
    return encoder, encoder.transform(rows)


def parts(values: Any, *forced: str) -> tuple[str, ...]:
    encoder, _ = fit(struct(x=values), *forced)
    return encoder.columns[0].parts


def why(name: str, values: Any, *forced: str, n_rows: int | None = None) -> str | None:
    """Why a column is left out beside one that is not."""
    n = len(values)
    encoder, _ = fit(struct(**{name: values, "beside": [0.5] * (n - 1) + [1.5]}), *forced, n_rows=n_rows)
    return {item.column: item.why for item in encoder.left_out}.get(name)


@st.composite
def typed_columns(draw: st.DrawFn, type_: str) -> Any:
    """A column with repeated values and gaps, cut from a longer array so that it starts at an offset."""
    arrow, values = TYPES[type_]
    pool = draw(st.lists(values, min_size=2, max_size=12, unique_by=repr))
    chosen = draw(st.lists(st.sampled_from([*pool, None]), min_size=6, max_size=40))
    return pa.array([pool[0], *chosen, *pool[:2]], arrow).slice(1)


@pytest.mark.parametrize("type_", TYPES)
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_order_and_chunks_do_not_matter(type_: str, data: st.DataObject) -> None:
    column = data.draw(typed_columns(type_))
    order = data.draw(st.permutations(range(len(column))))
    rows = struct(x=column, beside=np.arange(len(column)) % 2.0)
    shuffled = pa.concat_arrays([rows.slice(place, 1) for place in order])  # Arrow cannot gather string views

    encoder, X = fit(rows, "x")
    again, Y = fit(shuffled, "x")

    assert again == encoder
    assert X.flags.c_contiguous
    assert not np.isinf(X).any()
    np.testing.assert_array_equal(Y, X[order])
    np.testing.assert_array_equal(encoder.transform(rows.slice(3, 2)), X[3:5])
    np.testing.assert_array_equal(encoder.transform(rows.slice(0, 0)), X[:0])


@pytest.mark.parametrize("type_", TYPES)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_gaps_are_where_the_values_are_missing(type_: str, data: st.DataObject) -> None:
    column = data.draw(typed_columns(type_))
    encoder, X = fit(struct(x=column, beside=np.arange(len(column)) % 2.0), "x")
    assume(encoder.columns[0].name == "x" and encoder.columns[0].parts != ("is missing",))

    storage = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    missing = [value is None or value != value for value in storage.to_pylist()]

    np.testing.assert_array_equal(np.isnan(X[:, 0]), missing)
    values = encoder.values(struct(beside=X[:, -1], x=column), 0, np.arange(len(column)))
    np.testing.assert_array_equal([value in (None, "nan") for value in values], missing)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", "a", "b", "c" * 80, None]), min_size=5, max_size=30))
def test_text_encodes_alike_in_every_arrow_type(texts: list[str | None]) -> None:
    plain = pa.array(texts, pa.string())
    beside = pa.array(np.arange(len(texts)) % 2.0)
    encoder, X = fit(struct(x=plain, beside=beside))

    for same in (plain.dictionary_encode(), plain.cast(pa.large_string()), plain.cast(pa.string_view())):
        other, Y = fit(struct(x=same, beside=beside))
        assert other == encoder
        np.testing.assert_array_equal(Y, X)
    rows = [struct(x=plain[i : i + 1], beside=beside[i : i + 1]) for i in range(len(texts))]
    np.testing.assert_array_equal(np.vstack([encoder.transform(row) for row in rows]), X)


@settings(deadline=None, max_examples=30)
@given(st.lists(DECIMALS | st.none(), min_size=5, max_size=30))
def test_decimals_equal_the_doubles_that_sql_sends(values: list[decimal.Decimal | None]) -> None:
    table = pa.table({"x": pa.array(values, pa.decimal128(12, 3))})
    with duckdb.connect() as con:
        cast = con.from_arrow(table).select("x::double as x").to_arrow_table()["x"].combine_chunks()
    beside = np.arange(len(values)) % 2.0

    np.testing.assert_array_equal(
        fit(struct(x=table["x"].combine_chunks(), beside=beside))[1], fit(struct(x=cast, beside=beside))[1]
    )


LONG = st.text(st.sampled_from("aé😀0"), min_size=55, max_size=90) | st.text(min_size=60, max_size=300)


@settings(deadline=None, max_examples=50)
@given(st.lists(LONG.filter(lambda text: "\0" not in text), min_size=1, max_size=20))
def test_long_text_is_shortened_as_sql_does(texts: list[str]) -> None:
    assume(not any(text[64:].isdigit() for text in texts))
    table = pa.table({"x": texts})
    digest = "case when length(x) <= 64 then x else left(x, 64) || md5_number_lower(x)::varchar end"
    with duckdb.connect() as con:
        by_sql = [row[0] for row in con.from_arrow(table).select(digest).fetchall()]

    assert [shortened(text) for text in texts] == by_sql
    assert [shortened(text) for text in by_sql] == by_sql  # what SQL has shortened stays as it is


def test_raw_columns_equal_those_that_sql_has_cast() -> None:
    raw = """
        select (random() * 1000)::decimal(9, 2) as money, (random() * 1e6)::hugeint * 1e12::hugeint as huge,
            random()::float as single, date '2020-01-01' + (random() * 900)::int as day,
            make_timestamp_ns(1e18::bigint - (random() * 1e18)::bigint) as moment, (random() * 50)::int % 3 as small,
            case when i % 20 = 0 then 'infinity'::timestamp_s else timestamp_s '2020-02-02 02:02:02' end as endless,
            to_months((random() * 40)::int - 20) + to_seconds(random() * 1e6) as span,
            repeat('x', 60) || (random() * 10)::int || 'é' || repeat('y', (random() * 10)::int) as note,
            case when random() < 0.5 then 'a' else 'b' end::enum('b', 'a') as grade,
            timestamptz '2020-01-01 12:00+00' + to_hours((random() * 100)::int) as zoned
        from range(300) t(i)"""
    cast = """
        select money::double as money, huge::double as huge, single::double as single, day::timestamp as day,
            moment::timestamp as moment, small::double as small,
            case when isfinite(endless) then endless::timestamp end as endless, epoch(span) as span,
            case when length(note) <= 64 then note else left(note, 64) || md5_number_lower(note)::varchar end as note,
            grade::varchar as grade, make_timestamp(epoch_us(zoned)) as zoned
        from raw"""
    with duckdb.connect() as con:
        con.execute("select setseed(0.5)")
        con.execute(f"create table raw as {raw}")
        seen = [con.sql(query).to_arrow_table().to_struct_array().combine_chunks() for query in ("from raw", cast)]
    encoder, X = fit(seen[1])

    assert len(encoder.columns) == 11
    np.testing.assert_array_equal(encoder.transform(seen[0]), X)
    for column, name in enumerate(encoder.columns):
        if name.name != "note":
            every = np.arange(len(X))
            assert encoder.values(seen[0], column, every) == encoder.values(seen[1], column, every)


def test_numbers_pass_as_they_are_and_gaps_are_nan() -> None:
    _, X = fit(struct(x=[1.5, None, 2.0, float("nan"), 7.0]))
    np.testing.assert_array_equal(X[:, 0], [1.5, np.nan, 2.0, np.nan, 7.0])


def test_infinities_stand_just_outside_the_sample() -> None:
    encoder, X = fit(struct(x=[1.0, 5.0, np.inf, -np.inf, 3.0]))
    np.testing.assert_array_equal(X[:, 0], [1.0, 5.0, 9.0, -3.0, 3.0])

    encoder, _ = fit(struct(x=[1.0, 1.5, 1.25]))  # never infinite in the sample
    assert encoder.transform(struct(x=[np.inf, 1.0]))[:, 0].tolist() == [2.5, 1.0]
    assert encoder.transform(struct(x=[-np.inf, 1.0]))[:, 0].tolist() == [0.0, 1.0]


def test_huge_numbers_stay_within_the_limit_without_a_warning() -> None:
    _, X = fit(struct(x=[1e308, -1e308, 0.0, np.inf, -np.inf, 2e150]))
    assert X[:, 0].tolist() == [LIMIT, -LIMIT, 0.0, LIMIT, -LIMIT, LIMIT]


def test_rare_gaps_get_a_feature_and_frequent_ones_do_not() -> None:
    values = [0.5 * i for i in range(20)]
    rare, X = fit(struct(x=[None, *values]))
    assert rare.columns[0].parts == ("value", "is missing")
    assert X[0, 1] == 1.0
    assert X[1:, 1].sum() == 0.0
    assert parts([None, None, None, *values]) == ("value",)
    assert parts(values) == ("value",)


@pytest.mark.parametrize("values", [[2.5] * 20, ["a"] * 20, [True] * 20, [dt.datetime(2020, 1, 1)] * 20])
def test_a_constant_column_with_rare_gaps_is_its_gap_indicator(values: list[Any]) -> None:
    encoder, X = fit(struct(x=[*values, None]))
    assert encoder.columns[0].parts == ("is missing",)
    assert X[:, 0].tolist() == [0.0] * 20 + [1.0]
    assert encoder.expected(0, np.array([1.0])) == "a value"


def test_a_null_struct_is_a_gap_in_each_column() -> None:
    rows = pa.array(
        [{"x": 1.0, "y": "a"}, None, {"x": 2.0, "y": "b"}], pa.struct([("x", pa.float64()), ("y", "string")])
    )
    encoder, X = fit(rows)
    np.testing.assert_array_equal(X, [[1.0, 0.0], [np.nan, np.nan], [2.0, 1.0]])
    assert encoder.values(rows, 1, np.array([1, 2])) == [None, "b"]


def test_few_categories_have_an_indicator_each() -> None:
    encoder, X = fit(struct(x=["b", "a", "a", "b", "c", ""]))
    assert encoder.columns[0].parts == ("is 'a'", "is 'b'", "is ''", "is 'c'")
    np.testing.assert_array_equal(X[4:], [[0, 0, 0, 1], [0, 0, 1, 0]])
    assert parts(["b", "b", "a", "b"]) == ("is 'a'",)


def test_many_categories_are_told_by_their_rarity() -> None:
    texts = [f"c{i}" for i in range(9) for _ in range(i + 1)]
    encoder, X = fit(struct(x=texts))
    assert encoder.columns[0].parts == ("rarity",)
    np.testing.assert_allclose(X[[0, -1], 0], [np.log(45 / 1), np.log(45 / 9)])
    assert encoder.transform(struct(x=["new"]))[0, 0] == pytest.approx(np.log(46))


def test_the_ten_thousand_most_frequent_categories_are_held() -> None:
    texts = [f"often {i}" for i in range(10_000) for _ in range(3)] + ["now and then"] * 2 + ["once"]
    encoder, X = fit(struct(x=texts))
    assert len(encoder.columns[0].categories) == 10_000
    assert X[-1, 0] == X[-2, 0] == encoder.transform(struct(x=["new"]))[0, 0] > X[0, 0]


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=20), st.booleans())
def test_an_unseen_category_is_the_rarest_and_further_out(counts: list[int], gap: bool) -> None:
    texts = [f"c{i}" for i, count in enumerate(counts) for _ in range(count)] + [None] * gap
    encoder, X = fit(struct(x=texts, beside=np.arange(len(texts)) % 2.0), "x")
    assume(encoder.columns[0].name == "x")
    known = X[~np.isnan(X[:, 0]), : encoder.columns[0].features.stop]
    unseen = encoder.transform(struct(x=["new"], beside=[0.0]))[0, : known.shape[1]]

    assert (unseen != known).any(axis=1).all()
    last = encoder.columns[0].categories[-1]
    rarest = known[[text for text in texts if text is not None].index(last)]
    toward = rarest - known
    assert ((unseen - known) * np.sign(toward) >= np.abs(toward)).all()


@pytest.mark.parametrize("name", ["label", "Outlier", "TARGET"])
@pytest.mark.parametrize("values", [[0, 1] * 15, ["yes", "no", None] * 10, [True, False] * 15, [0.5, 1.5] * 15])
def test_a_two_valued_label_is_left_out_unless_named(name: str, values: list[Any]) -> None:
    assert "two values" in (why(name, values) or "")
    assert why(name, values, name.swapcase()) is None
    assert why("labelled", values) is None


def test_a_label_with_three_values_is_a_feature() -> None:
    assert why("label", [0, 1, 2] * 10) is None


@pytest.mark.parametrize("name", ["id", "customer_id", "customerId", "ID", "order key", "uuid", "row_number", "lineNr"])
def test_numbers_that_are_called_identifiers_are_left_out(name: str) -> None:
    values = [i * 1000 + 7 for i in range(30)]
    assert "identifier" in (why(name, values) or "")
    assert why(name, values, name) is None
    assert why(name, values[:19]) is None  # too few to tell
    assert why(name, [value + 0.5 for value in values]) is None
    assert why(name, [values[0], *values[:-1]]) is None  # a repeated value


@pytest.mark.parametrize("name", ["paid", "valid", "monkey", "humid", "width"])
def test_other_names_are_no_identifiers(name: str) -> None:
    assert why(name, [i * 1000 + 7 for i in range(30)]) is None


def test_a_counter_is_an_identifier_under_any_name() -> None:
    assert "identifier" in (why("x", list(range(100, 130))) or "")
    assert why("x", list(range(0, 90, 3))) is None
    assert "identifier" in (why("x", list(range(0, 90, 3)), n_rows=60) or "")  # the sample of a longer counter


def test_text_that_is_mostly_different_is_an_identifier() -> None:
    texts = [f"t{i}" for i in range(30)]
    assert why("x", texts) == "every value is different (an identifier)"
    assert "identifier" in (why("x", [*texts[:20], *["t0"] * 10]) or "")
    assert why("x", [*texts[:15], *texts[:15]]) is None
    assert why("x", [*texts[:20], *["t0"] * 10], "x") is None
    assert "every value occurs equally often" in (why("x", texts, "x") or "")


NESTED = pa.array([[1], [2], [3]])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([4, 4, 4], "constant"),
        (["a", "a", None], "constant"),
        ([None, None, None], "every value is missing"),
        (pa.array([None, None, None], pa.float64()), "every value is missing"),
        ([float("nan")] * 3, "every value is missing"),
        ([[1], [2], [3]], "nested type list"),
        ([{"a": 1}, {"a": 2}, {"a": 3}], "nested type struct"),
        ([b"a", b"b", b"c"], "type binary"),
        (pa.MapArray.from_arrays([0, 1, 2, 3], ["k"] * 3, [1, 2, 3]), "nested type map"),
        (pa.UnionArray.from_dense(pa.array([0, 0, 0], pa.int8()), pa.array([0, 1, 2], pa.int32()), [NESTED]), "nested"),
    ],
)
def test_left_out_with_the_reason_even_if_named(values: Any, reason: str) -> None:
    assert (why("x", values) or "").startswith(reason)
    assert (why("x", values, "x") or "").startswith(reason)


def test_constant_columns_alone_leave_a_matrix_without_columns() -> None:
    encoder, X = fit(struct(x=[1, 1, 1], y=["a", "a", "a"], z=[[1], [2], [3]]))
    assert X.shape == (3, 0)
    assert encoder.columns == ()
    assert [item.column for item in encoder.left_out] == ["x", "y", "z"]
    assert encoder.transform(struct(q=[1, 2])).shape == (2, 0)
    assert encoder.aggregate(X).shape == (3, 0)


def test_no_usable_column_names_each_with_its_reason() -> None:
    with pytest.raises(NoUsableColumn, match=r"`k`: every value is different.*`n`: nested type"):
        fit(struct(k=[f"k{i}" for i in range(30)], n=[[1]] * 30))
    with pytest.raises(NoUsableColumn, match="the source has no column"):
        fit(pa.array([{}, {}], pa.struct([])))


def test_columns_are_found_by_name() -> None:
    encoder, X = fit(struct(a=[1.0, 2.0], b=[3.0, 4.5]))
    np.testing.assert_array_equal(encoder.transform(struct(b=[3.0, 4.5], extra=["x", "y"], A=[1.0, 2.0])), X)
    both, _ = fit(struct(A=[1.0, 2.0], a=[3.0, 4.5]))
    np.testing.assert_array_equal(both.transform(struct(a=[3.0, 4.5], A=[1.0, 2.0])), X)
    with pytest.raises(UnknownColumn, match="column `b` not found; did you mean `bb`"):
        encoder.transform(struct(a=[1.0], bb=[2.0]))


def test_a_column_of_another_kind_is_an_error_and_one_of_gaps_is_not() -> None:
    encoder, _ = fit(struct(a=[1.0, 2.0], t=[dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 2)]))
    for a, t in (["x"], [dt.datetime(2020, 1, 1)]), ([1.0], [5]):
        with pytest.raises(UnknownColumn, match="when the model was fitted"):
            encoder.transform(struct(a=a, t=t))
    assert np.isnan(encoder.transform(struct(a=pa.nulls(2), t=pa.nulls(2)))).all()


def test_a_category_takes_numbers_by_their_text() -> None:
    encoder, X = fit(struct(zone=["1", "2", "2", "true"]))
    np.testing.assert_array_equal(encoder.transform(struct(zone=[1, 2])), X[:2])
    np.testing.assert_array_equal(encoder.transform(struct(zone=[2.0])), X[1:2])
    np.testing.assert_array_equal(encoder.transform(struct(zone=[True])), X[3:])


def moments_every(hours: float, n: int) -> list[dt.datetime]:
    return [dt.datetime(2024, 1, 1, 0, 30) + dt.timedelta(hours=hours * i) for i in range(n)]


def test_a_moment_has_its_hour_and_weekday() -> None:
    encoder, X = fit(struct(x=moments_every(36, 40)))
    assert encoder.columns[0].parts == ("hour of day", "day of week")
    assert X[:3].tolist() == [[0.5, 0.0], [12.5, 1.0], [0.5, 3.0]]


def test_position_is_a_feature_where_it_can_tell_something() -> None:
    even = moments_every(36, 40)
    assert "position" not in parts(even)
    spread = even[30] - even[10]
    assert "position" not in parts([*even, even[30] + 1.4 * spread])
    assert "position" in parts([*even, even[30] + 1.7 * spread])
    assert "position" in parts([*even, even[10] - 1.7 * spread])
    assert "position" in parts(even[:10])
    assert parts(moments_every(24, 40)) == ("day of week",)
    assert parts(moments_every(24 * 7, 40)) == ("position",)


def test_positions_keep_microseconds_far_from_the_epoch() -> None:
    start = dt.datetime(9000, 1, 1)
    _, X = fit(struct(x=[start + dt.timedelta(microseconds=i) for i in range(3)]))
    np.testing.assert_allclose(np.diff(X[:, -1]), 1e-6, rtol=1e-6)


def test_infinite_dates_are_gaps() -> None:
    end = np.iinfo(np.int64).max
    _, X = fit(struct(x=pa.array([0, 86_400, end, -end], pa.timestamp("s")), y=[1.5, 2.5, 3.5, 4.5]))
    np.testing.assert_array_equal(np.isnan(X[:, 0]), [False, False, True, True])


def test_times_of_day_durations_and_booleans_are_numbers() -> None:
    spans = pa.array([(13, 2, 3_500_000_000), (-13, 0, 0)], pa.month_day_nano_interval())
    rows = struct(
        c=[dt.time(1, 0, 1), dt.time(2)], d=[dt.timedelta(seconds=90), dt.timedelta()], b=[True, False], i=spans
    )
    _, X = fit(rows)
    assert X.tolist() == [[3601.0, 90.0, 1.0, 34_322_403.5], [7200.0, 0.0, 0.0, -34_149_600.0]]


def test_contributions_are_summed_by_column() -> None:
    encoder, _ = fit(struct(a=[1.0, 2.0, 3.5], b=["x", "y", "z"], c=[4.0, 5.5, 6.0]))
    contributions = np.array([[1.0, 2.0, 3.0, np.nan, 5.0], [0.0, 0.0, 0.0, 0.5, 0.25]])
    assert encoder.aggregate(contributions).tolist() == [[1.0, 5.0, 5.0], [0.0, 0.5, 0.25]]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([12.5, 3.0, None, np.nan, np.inf, -np.inf, 1e300], ["12.5", "3", None, "nan", "inf", "-inf", "1e+300"]),
        (pa.array([3, None, -7], pa.int16()), ["3", None, "-7"]),
        (pa.array([decimal.Decimal("1.50"), None, decimal.Decimal(2)], pa.decimal128(5, 2)), ["1.5", None, "2"]),
        ([True, None, False], ["true", None, "false"]),
        (
            [
                dt.datetime(2026, 1, 2, 3, 4, 5),
                None,
                dt.datetime(2026, 1, 2),
                dt.datetime(1969, 12, 31, 23, 59, 59, 5000),
            ],
            ["2026-01-02 03:04:05", None, "2026-01-02", "1969-12-31 23:59:59.005"],
        ),
        ([dt.date(2026, 1, 2), None, dt.date(2026, 1, 3)], ["2026-01-02", None, "2026-01-03"]),
        ([dt.time(3, 4, 5), None, dt.time(23, 0, 0, 500)], ["03:04:05", None, "23:00:00.0005"]),
        ([dt.timedelta(seconds=90), None, dt.timedelta(seconds=0.5)], ["90", None, "0.5"]),
        (["GB", None, "", "x" * 70], ["GB", None, "", "x" * 64 + "…"]),
    ],
)
def test_values_are_told_as_text(values: Any, texts: list[str | None]) -> None:
    rows = struct(x=values)
    encoder, _ = fit(rows)
    assert encoder.values(rows, 0, np.arange(len(rows))) == texts
    assert encoder.values(rows.slice(1), 0, np.array([1, 0])) == [texts[2], texts[1]]


def expected(values: Any, *largest: int) -> list[str]:
    encoder, X = fit(struct(x=values))
    return [encoder.expected(0, np.eye(X.shape[1])[feature]) for feature in largest]


def test_expected_is_told_by_the_largest_contribution() -> None:
    numbers = [1.23456 * i for i in range(101)]
    assert expected([*numbers, None], 0, 1) == ["6.173 to 117.3", "a value"]
    assert expected([12345.6] * 30 + [99999.5], 0) == ["12350"]
    assert expected(["GB"] * 60 + ["US"] * 35 + ["FR"] * 5, 2) == ["'GB' (60 %) or 'US' (35 %)"]
    assert expected(["GB"] * 999 + ["US"], 0) == ["'GB' (100 %)"]
    assert expected([False] * 96 + [True] * 4, 0) == ["false (96 %)"]
    hours = [dt.datetime(2024, 1, 1 + day, hour) for day in range(5) for hour in range(8, 19)]
    assert expected(hours, 0, 1) == ["08:00 to 18:00", "Monday to Friday"]
    assert expected([*[dt.datetime(2024, 1, 1)] * 30, dt.datetime(1970, 1, 1)], 1) == ["2024-01-01"]
    assert expected([dt.time(8), dt.time(8), dt.time(18)], 0) == ["08:00:00 to 17:00:00"]


def test_expected_passes_over_contributions_that_are_not_numbers() -> None:
    encoder, _ = fit(struct(x=[None, *(0.5 * i for i in range(20))]))
    assert encoder.expected(0, np.array([np.nan, 1.0])) == "a value"
    assert encoder.expected(0, np.array([np.nan, np.nan])) == "0.475 to 9.025"


def test_every_encoding_is_described() -> None:
    n = 60
    many = [f"c{i % 9}" if i < 50 else "c0" for i in range(n)]
    rows = struct(a=np.arange(n) * 0.5, b=[i % 2 == 0 for i in range(n)], c=many, d=["x"] * (n - 1) + ["y"], e=[1] * n)
    encoder, _ = fit(rows)
    assert encoder.describe() == [
        ("a", "number"),
        ("b", "0 or 1"),
        ("c", "rarity of the category (-log of its share), 9 categories held"),
        ("d", "one indicator for is 'y'"),
    ]
    assert fit(struct(x=[None, *moments_every(36, 40)]))[0].describe() == [
        ("x", "hour of day, day of week, whether it is missing")
    ]


def test_the_fitted_encoder_is_names_and_numbers() -> None:
    texts: Sequence[str | None] = ["a", "b", "b", None]
    rows = struct(x=[1.5, 2.0, np.inf, None], t=texts, m=[*moments_every(5, 3), None], b=[True, False, True, None])
    encoder, X = fit(rows)
    copy = msgspec.json.decode(msgspec.json.encode(encoder), type=Encoder)
    assert copy == encoder
    np.testing.assert_array_equal(copy.transform(rows), X)
