"""What each feature macro is: the one list that the documentation, the checks and `feature_macros()` read."""

from typing import Literal

import msgspec

from pynomaly.errors import UnknownFeature, did_you_mean

Class = Literal["stateless", "fitted", "history"]
Kind = Literal["scalar", "table"]
Takes = Literal["number", "text", "time", "number or time", "any"]

REQUIRED = "required"
COLUMN = "column"  # the step of a pipeline that is a column by itself
CALENDAR = ("hour", "weekday", "day", "month", "day_of_year", "is_weekend")
AGGREGATES = ("mean", "std", "min", "max", "median", "count")
LENGTHS = ("characters", "words", "digits", "uppercase")
PERIODS = {"hour": 3600.0, "day": 86_400.0, "week": 604_800.0, "year": 31_556_952.0}  # in seconds; a mean year


class FeatureMacro(msgspec.Struct, frozen=True):
    """One feature macro: a class says what its value depends on besides the row.

    Nothing (stateless), constants that the training source gave (fitted), or the rows before (history).
    """

    name: str
    class_: Class
    kind: Kind
    takes: Takes
    parameters: dict[str, object]  # after the columns, with their defaults, in the macro's order
    summary: str
    n_columns: int = 1  # that a scalar macro takes

    def told(self) -> dict[str, object]:
        """The row of `feature_macros()`."""
        parameters = [name if value == REQUIRED else f"{name} := {value!r}" for name, value in self.parameters.items()]
        return {
            "name": self.name,
            "class": self.class_,
            "kind": self.kind,
            "takes": self.takes,
            "parameters": [text.replace("None", "null") for text in parameters],
            "summary": self.summary,
        }


ORDER: dict[str, object] = {"order_by": REQUIRED, "by": None}
ROLLING: dict[str, object] = {**ORDER, "size": 7}

MACROS = {
    macro.name: macro
    for macro in (
        FeatureMacro("log1p_signed", "stateless", "scalar", "number", {}, "sign(x) ln(1 + |x|): shortens long tails"),
        FeatureMacro("ratio", "stateless", "scalar", "number", {}, "a / b; NULL where b is 0", 2),
        FeatureMacro("interaction", "stateless", "scalar", "number", {}, "a times b", 2),
        FeatureMacro("hash_encode", "stateless", "scalar", "any", {"buckets": 32}, "The bucket of a value's MD5"),
        FeatureMacro("robust_zscore", "fitted", "scalar", "number", {}, "Distance from the median in scaled MADs"),
        FeatureMacro("minmax", "fitted", "scalar", "number", {}, "0 at the smallest value, 1 at the largest"),
        FeatureMacro(
            "rank_normal", "fitted", "scalar", "number", {}, "The normal quantile at the value's rank, by 129 quantiles"
        ),
        FeatureMacro("bin_quantile", "fitted", "scalar", "number", {"bins": 10}, "The bin of about equally full ones"),
        FeatureMacro("frequency_encode", "fitted", "scalar", "any", {}, "The share of the rows with the same value"),
        FeatureMacro(
            "rolling_mean", "history", "scalar", "number", ROLLING, "Mean of the last rows, this one included"
        ),
        FeatureMacro("rolling_std", "history", "scalar", "number", ROLLING, "Standard deviation of the last rows"),
        FeatureMacro("rolling_min", "history", "scalar", "number", ROLLING, "Smallest value of the last rows"),
        FeatureMacro("rolling_max", "history", "scalar", "number", ROLLING, "Largest value of the last rows"),
        FeatureMacro(
            "rolling_quantile", "history", "scalar", "number", {**ROLLING, "q": 0.5}, "A quantile of the last rows"
        ),
        FeatureMacro(
            "pct_change", "history", "scalar", "number", {**ORDER, "lag": 1}, "Change since an earlier row, as a share"
        ),
        FeatureMacro("lag_features", "history", "table", "number", {**ORDER, "lags": [1]}, "Values of earlier rows"),
        FeatureMacro(
            "ewma", "history", "table", "number", {**ORDER, "alpha": 0.3}, "Exponentially weighted mean up to the row"
        ),
        FeatureMacro(
            "calendar_features", "stateless", "table", "time", {"parts": list(CALENDAR)}, "Parts of a date as numbers"
        ),
        FeatureMacro(
            "fourier_features",
            "stateless",
            "table",
            "number or time",
            {"period": "day", "harmonics": 1},
            "Sines and cosines of a place in a period",
        ),
        FeatureMacro(
            "one_hot",
            "fitted",
            "table",
            "any",
            {"values": None, "n_values": 10},
            "A column for each of the most frequent values, 1 where the row has it",
        ),
        FeatureMacro("text_length_features", "stateless", "table", "text", {}, "Characters, words, digits, capitals"),
        FeatureMacro(
            "tfidf_features",
            "fitted",
            "table",
            "text",
            {"buckets": 16},
            "Words hashed to buckets, rare ones weigh more",
        ),
        FeatureMacro(
            "group_aggregates",
            "fitted",
            "table",
            "number",
            {"by": REQUIRED, "aggregates": ["mean", "std"]},
            "What a column is like in the row's group",
        ),
    )
}


def get(name: str) -> FeatureMacro:
    """The macro of this name; UnknownFeature for another."""
    if name not in MACROS:
        raise UnknownFeature(
            f"there is no feature macro `{name}`", did_you_mean(name, MACROS) or "`from feature_macros()` lists them"
        )
    return MACROS[name]
