"""A fitted model as one SQL macro that scores in any DuckDB, with no Python: exact, and nothing beside it is needed."""

from collections.abc import Callable
from typing import Any

from pynomaly.errors import NotExportable
from pynomaly.export_sql.features import features
from pynomaly.export_sql.query import Query, number
from pynomaly.model import Model
from pynomaly.quoting import identifier
from pynomaly.source import RESULT_COLUMNS

MOST_BYTES = 128 * 2**20  # of a macro
SCALED = ("ecod", "copod", "hbos")  # a sum over the columns with a value is scaled up to all columns

_HEAD = """\
-- {title}: every row of a source with its anomaly_score and is_anomaly, by a fitted model ({algorithm}).
--
--   select * from {title}('table') where is_anomaly order by anomaly_score desc;
--
-- A source is the name of a table, view or CTE, or the path of a file. Needs DuckDB 2.0 or later and nothing else.
"""


def to_sql(model: Model, name: str) -> str:
    """The text of a statement that creates the table macro `name(source)`, which scores as the model does new rows.

    `source` is the name of a table (also quoted, or with schema or database), view or CTE, or the path of a file that
    DuckDB reads. Every column of it comes with `anomaly_score` and `is_anomaly`, both NULL for a row without any
    value. Columns are found by name; one that is missing, or of a type that the model cannot read, is an error.

    Raises NotExportable for an algorithm that has no formula in SQL, a model that kept no state, and one so large
    that DuckDB would not take the text.
    """
    exporters = _exporters()
    if model.algorithm.name not in exporters:
        named = ", ".join(f"`{known}`" for known in exporters)
        raise NotExportable(f"a model of `{model.algorithm.name}` cannot be written in SQL", f"train one of {named}")
    if model.state is None and model.encoder.columns:
        raise NotExportable(
            "the model kept the scores of its own rows only", "train it on the whole table as one group"
        )
    query = Query()
    score = _score(model, query, exporters)
    (name_of_score,) = query.step([score])
    text = _macro(model, name, query, name_of_score)
    if len(text) > MOST_BYTES:
        raise NotExportable(
            f"the macro would have {len(text) / 2**20:,.0f} MiB, more than {MOST_BYTES / 2**20:,.0f}",
            "train the model with a smaller `sample_rows`, or use `hbos`, which keeps histograms only",
        )
    return text


def _exporters() -> dict[str, Callable[[Any, Query, list[str]], str]]:
    """What adds an algorithm's steps and returns the score of a row, by the algorithm's name."""
    from pynomaly.export_sql import distances, forest, histograms, tails  # the kernels are slow to load

    found = (
        forest.iforest,
        tails.ecod,
        tails.copod,
        histograms.hbos,
        histograms.loda,
        distances.zscore,
        distances.mad,
        distances.pca,
        distances.mahalanobis,
    )
    return {function.__name__: function for function in found}


def _score(model: Model, query: Query, exporters: dict[str, Callable[[Any, Query, list[str]], str]]) -> str:
    """The score of a row: 0 where all fitted rows are equal, NULL where no feature has a value.

    `random` is there so that a filter on the score stays above it: below, the planner would write the score out once
    for every use of each step, which are more than it can hold.
    """
    if model.state is None:
        return number(0.0)
    x = features(query, model.encoder.columns)
    score = exporters[model.algorithm.name](model.state, query, x)
    (known,) = query.step([query.total([f"({name} is not null)::bigint" for name in x])])
    if model.algorithm.name in SCALED:
        score = f"({score}) * ({number(float(len(x)))} / {known})"
    return f"case when {known} > 0 and random() >= 0e0 then {score} end"


def _macro(model: Model, name: str, query: Query, score: str) -> str:
    """The statement around the steps."""
    threshold = "false" if model.threshold is None else f"{score} > {number(model.threshold)}"
    title = identifier(name)
    return (
        _HEAD.format(title=title.replace("\n", " "), algorithm=model.algorithm.name)
        + f"create or replace macro {title}(source) as table\nwith "
        + query.sql("query_table(source)", RESULT_COLUMNS[:2])
        + f"\nselect\n    columns(lambda c: not starts_with(c, '_pynomaly_')),\n    {score} as anomaly_score,\n"
        f"    case when {score} is not null then {threshold} end as is_anomaly\n"
        "from _pynomaly_scored;\n"
    )
