"""What a step of a pipeline is in SQL: expressions, and for a fitted one the constants that they need."""

import math
from collections.abc import Callable
from typing import NamedTuple

from pynomaly.feature_macros import LENGTHS, PERIODS, get
from pynomaly.quoting import identifier, literal
from pynomaly.steps import Step

MISSING = "chr(30)"  # stands for NULL in the name of a group
BLOCK_DIGITS = 100  # the weights of an exponential mean span so many digits before they begin anew


class Piece(NamedTuple):
    """One step as SQL. Its constants are the column `constants` of a relation of one row."""

    outputs: dict[str, str]  # the columns that it adds, by name
    fit: str = ""  # the aggregate of the rows that gives the constants; empty where there are none
    type: str = ""  # of the constants
    before: tuple[dict[str, str], ...] = ()  # columns that it needs first, level after level, and drops again
    group: str = ""  # a key: the constants are a map from it, `fit` an aggregate of each group
    join: str = ""  # the map in the constants whose entry for the key is `entry`


def piece(step: Step, constants: str, entry: str, type_name: str | None) -> Piece:
    """A step as SQL; `constants` and `entry` are names for its own, `type_name` is its column's type, if known."""
    columns = [identifier(name) for name in step.columns]
    if step.macro in _BUILDERS:
        return _BUILDERS[step.macro](step, constants, entry, type_name)
    record = get(step.macro)
    given = [*columns, *(() if record.class_ != "history" else _ordered(step))]
    given += [f"{name} := {literal(value)}" for name, value in step.options.items() if name not in ("order_by", "by")]
    return Piece({output_name(step): f"{step.macro}({', '.join(given)})"})


def output_name(step: Step) -> str:
    """The column that a scalar step gives."""
    first, *others = step.columns
    size = step.options.get("size")
    return step.name or "_".join([first, step.macro, *others, *([str(size)] if size is not None else [])])


def _ordered(step: Step) -> list[str]:
    by = step.options["by"]
    return [identifier(step.options["order_by"]), *([f'"by" := {_row(by)}'] if by else [])]


def _row(columns: list[str]) -> str:
    return f"row({', '.join(map(identifier, columns))})" if len(columns) > 1 else identifier(columns[0])


def _over(step: Step) -> str:
    by = step.options["by"]
    return f"partition by {_row(by) if by else 'null'} order by {identifier(step.options['order_by'])}"


def _column(step: Step, *_: object) -> Piece:
    return Piece({step.columns[0]: ""})


def _robust_zscore(step: Step, constants: str, *_: object) -> Piece:
    x = identifier(step.columns[0])
    fit = f"{{'center': median(_finite({x})), 'spread': mad(_finite({x}))}}"
    apply = f"_robust_zscore({x}, {constants}.center, {constants}.spread)"
    return Piece({output_name(step): apply}, fit, "struct(center double, spread double)")


def _minmax(step: Step, constants: str, *_: object) -> Piece:
    x = identifier(step.columns[0])
    fit = f"{{'low': min(_finite({x})), 'high': max(_finite({x}))}}"
    apply = f"_minmax({x}, {constants}.low, {constants}.high)"
    return Piece({output_name(step): apply}, fit, "struct(low double, high double)")


def _rank_normal(step: Step, constants: str, *_: object) -> Piece:
    x = identifier(step.columns[0])
    fit = f"quantile_cont(_finite({x}), list_transform(range(0, 129), lambda i: i / 128))"
    return Piece({output_name(step): f"_rank_normal(_finite({x}), {constants})"}, fit, "double[]")


def _bin_quantile(step: Step, constants: str, *_: object) -> Piece:
    x, bins = identifier(step.columns[0]), step.options["bins"]
    fit = f"quantile_cont(_finite({x}), list_transform(range(1, {bins}), lambda i: i / {bins}))"
    return Piece({output_name(step): f"_bin_quantile({x}, {constants})"}, fit, "double[]")


def _frequency_encode(step: Step, constants: str, entry: str, _type: str | None) -> Piece:
    x = identifier(step.columns[0])
    share = f"case when {x} is not null then coalesce({entry}, 0) / {constants}.total end"
    return Piece(
        {output_name(step): share},
        f"{{'total': count({x}), 'counts': histogram({x}::varchar)}}",
        "struct(total bigint, counts map(varchar, ubigint))",
        group=f"{x}::varchar",
        join=f"{constants}.counts",
    )


def _group_aggregates(step: Step, constants: str, entry: str, _type: str | None) -> Piece:
    x, by = identifier(step.columns[0]), step.options["by"]
    computed = {
        "mean": f"_finite(avg(_finite({x})))",
        "std": f"_finite(stddev_samp(_finite({x})))",
        "min": f"min(_finite({x}))",
        "max": f"max(_finite({x}))",
        "median": f"median(_finite({x}))",
        "count": f"count({x})::double",
    }
    chosen = step.options["aggregates"]
    outputs = {f"{step.columns[0]}_{name}_by_{'_'.join(by)}": f"{entry}.{identifier(name)}" for name in chosen}
    keys = ", ".join(f"coalesce({identifier(name)}::varchar, {MISSING})" for name in by)
    fields = ", ".join(f"{identifier(name)} double" for name in chosen)
    return Piece(
        outputs,
        "{" + ", ".join(f"{literal(name)}: {computed[name]}" for name in chosen) + "}",
        f"map(varchar, struct({fields}))",
        group=f"concat_ws(chr(31), {keys})",
        join=constants,
    )


def _lag_features(step: Step, *_: object) -> Piece:
    x = identifier(step.columns[0])
    return Piece(
        {
            f"{step.columns[0]}_lag_{lag}": f"lag(_finite({x}), {lag}) over ({_over(step)})"
            for lag in step.options["lags"]
        }
    )


def _ewma(step: Step, constants: str, *_: object) -> Piece:
    """Weights relative to the beginning of a block of rows, so that they stay finite; of earlier blocks one matters."""
    x, kept = identifier(step.columns[0]), 1 - step.options["alpha"]
    name = f"{step.columns[0]}_ewma"
    if kept == 0:
        return Piece({name: f"last_value(_finite({x}) ignore nulls) over ({_over(step)})"})
    size = max(1, int(-BLOCK_DIGITS * math.log(10) / math.log(kept)))
    n, top, weight, former_top, former_weight = (f"{constants}_{part}" for part in ("n", "t", "w", "ft", "fw"))
    by = step.options["by"]
    parts = _row(by) if by else "null"
    block = f"partition by {parts}, {n} // {size} order by {n}"
    former = f"partition by {parts} order by {n} // {size} range between 1 preceding and 1 preceding"
    ends = f"case when {n} % {size} = {size - 1} then"
    power = f"pow({kept!r}, -({n} % {size}))"
    carried = repr(kept**size)
    known = f"case when _finite({x}) is not null then {power} else 0 end"
    before: tuple[dict[str, str], ...] = (
        {n: f"row_number() over ({_over(step)}) - 1"},
        {top: f"sum(coalesce(_finite({x}), 0) * {power}) over ({block})", weight: f"sum({known}) over ({block})"},
        {
            former_top: f"coalesce(max({ends} {top} end) over ({former}), 0)",
            former_weight: f"coalesce(max({ends} {weight} end) over ({former}), 0)",
        },
    )
    mean = f"({top} + {carried} * {former_top}) / nullif({weight} + {carried} * {former_weight}, 0)"
    return Piece({name: f"_finite({mean})"}, before=before)


def _seconds_or(x: str, type_name: str | None) -> str:
    """A date or a time as a TIMESTAMP in UTC."""
    return f"make_timestamp(epoch_us({x}))" if type_name == "TIMESTAMP WITH TIME ZONE" else f"{x}::timestamp"


def _calendar_features(step: Step, _constants: str, _entry: str, type_name: str | None) -> Piece:
    at = _seconds_or(identifier(step.columns[0]), type_name)
    at = f"case when isfinite({at}) then {at} end"
    parts = {
        "hour": f"hour({at})",
        "weekday": f"isodow({at})",
        "day": f"day({at})",
        "month": f"month({at})",
        "day_of_year": f"dayofyear({at})",
        "is_weekend": f"(isodow({at}) > 5)::integer",
    }
    return Piece({f"{step.columns[0]}_{part}": parts[part] for part in step.options["parts"]})


def _fourier_features(step: Step, _constants: str, _entry: str, type_name: str | None) -> Piece:
    x, period = identifier(step.columns[0]), step.options["period"]
    is_time = type_name is not None and type_name.startswith(("DATE", "TIMESTAMP"))
    if isinstance(period, str):
        period, is_time = PERIODS[period], True
    at = f"epoch({_seconds_or(x, type_name)})" if is_time else f"_finite({x})"
    angle = f"2 * pi() * {{k}} * {at} / {period!r}"
    return Piece(
        {
            f"{step.columns[0]}_{wave}_{k}": f"{wave}({angle.format(k=k)})"
            for k in range(1, step.options["harmonics"] + 1)
            for wave in ("sin", "cos")
        }
    )


def _one_hot(step: Step, *_: object) -> Piece:
    x = identifier(step.columns[0])
    return Piece(
        {
            f"{step.columns[0]}_{value}": f"coalesce(({x}::varchar = {literal(value)})::integer, 0)"
            for value in step.options["values"] or ()
        }
    )


def _text_length_features(step: Step, *_: object) -> Piece:
    x = identifier(step.columns[0])
    kept = {"words": "\\S+", "digits": "[0-9]", "uppercase": "\\p{Lu}"}
    counts = {name: f"len(regexp_extract_all({x}, {literal(pattern)}))" for name, pattern in kept.items()}
    counts["characters"] = f"length({x})"
    return Piece({f"{step.columns[0]}_{name}": counts[name] for name in LENGTHS})


def _tfidf_features(step: Step, constants: str, *_: object) -> Piece:
    x, n = identifier(step.columns[0]), step.options["buckets"]
    shares = f"{constants}_words"
    has = (f"count(*) filter ({shares}[{i}] > 0)" for i in range(1, n + 1))
    return Piece(
        {f"{step.columns[0]}_words_{i}": f"{shares}[{i}] * {constants}[{i}]" for i in range(1, n + 1)},
        "[" + ", ".join(f"ln((1 + count({shares})) / (1 + {count})) + 1" for count in has) + "]",
        "double[]",
        before=({shares: f"_word_shares(lower({x}), {n})"},),
    )


_BUILDERS: dict[str, Callable[..., Piece]] = {
    builder.__name__[1:]: builder
    for builder in (
        _column,
        _robust_zscore,
        _minmax,
        _rank_normal,
        _bin_quantile,
        _frequency_encode,
        _group_aggregates,
        _lag_features,
        _ewma,
        _calendar_features,
        _fourier_features,
        _one_hot,
        _text_length_features,
        _tfidf_features,
    )
}
