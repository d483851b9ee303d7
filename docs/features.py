"""Writes docs/features.md from the records of the feature macros, with executed examples: `python docs/features.py`."""

from pathlib import Path

import pynomaly
from pynomaly.feature_macros import MACROS

PAGE = Path(__file__).parent / "features.md"
HEAD = """# Features

Every feature macro, as `from feature_macros()` lists it, with an executed example. Written from the records by
`just docs`.

A macro that gives one value is an expression in any SELECT, `robust_zscore(amount)`; one that gives several columns is
a relation, `calendar_features(source, columns, ...)`, which keeps every column of the source. All are steps of a
pipeline, written the same way but without the source: `calendar_features(paid_at)`.

- *stateless*: equal on one row and on the whole table.
- *fitted*: depends on the rows. A model keeps the constants of its training source, so that a training row has the
  same features when it is scored alone.
- *history*: depends on the rows before, in the order of `order_by`, by itself for each `by`. A source is scored with
  it, a row by itself cannot be (`needs_history`). Rows with the same `order_by` have no fixed order: name one without
  repetitions.

A value that is no finite number counts as NULL. In a pipeline features are of type DOUBLE.
The examples read this table:

"""
TABLE = """create table payments as from (values
    (1, timestamp '2026-03-06 09:30:00', 'DE', 12.5, 2.0, 'Coffee beans, 1 kg'),
    (2, timestamp '2026-03-06 23:10:00', 'FR', 80.0, 4.0, 'Train ticket'),
    (3, timestamp '2026-03-07 08:00:00', 'DE', 20.0, 2.0, 'Coffee'),
    (4, timestamp '2026-03-07 12:45:00', 'DE', 15.0, 0.0, null)
) as v(id, paid_at, country, amount, fee, note);
"""
ROLLED = "paid_at, by := country, size := 2"
EXPRESSIONS = {
    "log1p_signed": ("amount", "log1p_signed(amount)"),
    "ratio": ("amount, fee", "ratio(amount, fee)"),
    "interaction": ("amount, fee", "interaction(amount, fee)"),
    "hash_encode": ("country", "hash_encode(country, buckets := 8)"),
    "robust_zscore": ("amount", "robust_zscore(amount)"),
    "minmax": ("amount", "minmax(amount)"),
    "rank_normal": ("amount", "rank_normal(amount)"),
    "bin_quantile": ("amount", "bin_quantile(amount, bins := 2)"),
    "frequency_encode": ("country", "frequency_encode(country)"),
    "rolling_mean": ("country, amount", f"rolling_mean(amount, {ROLLED})"),
    "rolling_std": ("country, amount", f"rolling_std(amount, {ROLLED})"),
    "rolling_min": ("country, amount", f"rolling_min(amount, {ROLLED})"),
    "rolling_max": ("country, amount", f"rolling_max(amount, {ROLLED})"),
    "rolling_quantile": ("country, amount", f"rolling_quantile(amount, {ROLLED}, q := 0.5)"),
    "pct_change": ("country, amount", "pct_change(amount, paid_at, by := country)"),
}
RELATIONS = {
    "lag_features": (
        "country, amount, amount_lag_1",
        "lag_features('payments', 'amount', order_by := 'paid_at', by := 'country')",
    ),
    "ewma": ("amount, amount_ewma", "ewma('payments', 'amount', order_by := 'paid_at', alpha := 0.5)"),
    "calendar_features": ("paid_at, paid_at_hour, paid_at_is_weekend", "calendar_features('payments', 'paid_at')"),
    "fourier_features": (
        "paid_at, paid_at_sin_1, paid_at_cos_1",
        "fourier_features('payments', 'paid_at', period := 'day')",
    ),
    "one_hot": ('country, "country_DE", "country_FR"', "one_hot('payments', 'country')"),
    "text_length_features": ("note, note_characters, note_words", "text_length_features('payments', 'note')"),
    "tfidf_features": (
        "note, note_words_1, note_words_2, note_words_3",
        "tfidf_features('payments', 'note', buckets := 3)",
    ),
    "group_aggregates": (
        "country, amount, amount_mean_by_country",
        "group_aggregates('payments', 'amount', by := 'country')",
    ),
}


def example(name: str) -> str:
    """The SELECT that shows a macro."""
    if name in RELATIONS:
        columns, relation = RELATIONS[name]
        return f"select {columns}\nfrom {relation}\norder by id;"
    beside, call = EXPRESSIONS[name]
    return f"select {beside}, {call} as feature\nfrom payments\norder by id;"


def page() -> str:
    """The whole page."""
    parts = [f"{HEAD}```sql\n{TABLE}```\n"]
    with pynomaly.connect() as engine:
        engine.execute(TABLE).fetchall()
        for name, macro in MACROS.items():
            columns = "a, b" if macro.n_columns == 2 else "column" if macro.kind == "scalar" else "source, columns"
            usage = ", ".join([columns, *map(str, macro.told()["parameters"])])
            drawn = str(engine.sql(example(name)).relation()).strip()
            parts.append(
                f"## {name}\n\n{macro.summary}. {macro.class_.capitalize()}; takes {macro.takes}: `{name}({usage})`\n\n"
                f"```sql\n{example(name)}\n```\n\n```text\n{drawn}\n```\n"
            )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
