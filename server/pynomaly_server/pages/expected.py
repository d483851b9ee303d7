"""The range that was expected of a column, as a result has it.

Every reason of a row says what is usual in its column. Of a number that are the 5 % and the 95 % quantile of the rows
that the model was fitted on, `10 to 16`, or `10` where both are one: the same for every row of a model, so over time it
is a level band. Categories, moments and gaps have other words, and no band; a run by groups has a model and a range for
each group, so a line of all of them has none either. Reasons have four digits of a number: where that is too coarse for
what is drawn, 1000000 for 1000003, there is no band.
"""

import math
from typing import Any

import msgspec

from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError
from pynomaly.quoting import literal
from pynomaly_server.pages.filters import number
from pynomaly_server.pages.result_pictures import Of

_DIGITS = 4
_SEEN = 50  # of so many parts of what is drawn, a smaller one is not seen
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_RANGE = f"^({_NUMBER})(?: to ({_NUMBER}))?$"
_OF_REASONS = """
select min(reason.expected) as expected
from (
    select unnest(reasons) as reason
    from (from _run_results({run}) where is_anomaly{above} order by anomaly_score desc limit {n_flagged})
)
where lower(reason.feature) = lower({column}) and regexp_full_match(reason.expected, {range})
"""
_OF_A_ROW = """
select min(expected) as expected
from explain_row({run}, {key})
where lower(feature) = lower({column}) and regexp_full_match(expected, {range})
"""


class Band(msgspec.Struct, frozen=True):
    """An expected range, and the SQL that says it."""

    low: float
    high: float
    sql: str

    def beside(self, data: dict[str, Any]) -> dict[str, Any]:
        """The data of a series with the range as its band; as it is where four digits are too few."""
        drawn = [self.low, self.high, *(value for value in data["y"] if value is not None)]
        largest = max(abs(self.low), abs(self.high))
        step = 10.0 ** (math.floor(math.log10(largest)) - _DIGITS + 1) if largest else 0.0
        if step > (max(drawn) / _SEEN - min(drawn) / _SEEN):
            return data
        told = number(self.low) if self.low == self.high else f"{number(self.low)} to {number(self.high)}"
        words = f"the expected band, {told}, holds nine in ten of the values that the model was fitted on"
        n = len(data["x"])
        return {**data, "lower": [self.low] * n, "upper": [self.high] * n, "told_band": words}


def band(db: Engine, of: Of, column: str) -> Band | None:
    """What was expected of a column of numbers by a saved run; None where it has no one range."""
    if of.told["options"].get("by"):
        return None
    named = {"column": literal(column), "range": literal(_RANGE)}
    sql = of.filled(_OF_REASONS, **named)
    expected = db.execute(sql).fetchall()[0][0]
    if expected is None:  # no reason of a flagged row speaks of the column, but the model knows its range
        first = f"select key from _run_results({literal(of.run)}) order by anomaly_score desc nulls last limit 1"
        found = db.execute(first).fetchall()
        sql = of.filled(_OF_A_ROW, key=literal(found[0][0] if found else ""), **named)
        try:
            expected = db.execute(sql).fetchall()[0][0]
        except PynomalyError:  # its model was not kept
            return None
    if expected is None:
        return None
    low, _, high = expected.partition(" to ")
    return Band(float(low), float(high or low), sql)
