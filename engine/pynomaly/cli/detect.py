"""`pynomaly detect`: files, tables or standard input to scored rows."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from pynomaly.cli.scoring import OUTCOME, Call, Caller, Outcome, Sources, n_reasons, scored
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Format, Settings, Written, opened, resolve, split
from pynomaly.errors import BadParameter


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Detection:
    """The parameters of `detect_anomalies`; lists are comma-separated or repeated."""

    algorithm: Annotated[
        list[str] | None,
        Parameter(alias="-a", help="A name that `pynomaly algorithms` lists, or several; by default by row count."),
    ] = None
    combine: Annotated[
        str | None,
        Parameter(help="How several algorithms become one score: tail, mean, max, median, rank, vote, aom or moa."),
    ] = None
    features: Annotated[list[str] | None, Parameter(help="Columns to use, and no others.")] = None
    exclude: Annotated[list[str] | None, Parameter(help="Columns not to use.")] = None
    label: Annotated[list[str] | None, Parameter(help="Columns that say what is true; not used.")] = None
    key: Annotated[list[str] | None, Parameter(help="Columns that identify a row; checked, not used.")] = None
    by: Annotated[list[str] | None, Parameter(help="Group columns: each group has its own model and cut-off.")] = None
    contamination: Annotated[float | None, Parameter(help="Flag about this share of the rows.")] = None
    threshold: Annotated[
        float | str | None, Parameter(help="Flag scores above this one, or above that which a rule such as mad finds.")
    ] = None
    top_k: Annotated[int | None, Parameter(alias="-k", help="Flag exactly so many rows.")] = None
    explain: Annotated[
        int | None, Parameter(help="How many reasons a row gets; by default 3 in a table and 0 in other formats.")
    ] = None
    sample_rows: Annotated[int | None, Parameter(help="Fit on about so many rows at most (262144).")] = None
    seed: Annotated[int | None, Parameter(help="The seed of everything random (0).")] = None
    parameters: Annotated[
        str | None, Parameter(help="The algorithm's own parameters as JSON: '{\"n_neighbors\": 10}'.")
    ] = None
    pipeline: Annotated[str | None, Parameter(help="The features of this pipeline, by its name or name@version.")] = (
        None
    )

    def call(self, source: str, format_: Format, settings: Settings) -> Call:
        """The call with the parameters that are given; the macro has its own defaults for the others."""
        columns = {name: split(getattr(self, name)) for name in ("features", "exclude", "label", "key", "by")}
        given = {
            "algorithm": one_or_all(split(self.algorithm)),
            "combine": self.combine,
            **columns,
            "contamination": self.contamination,
            "threshold": self.threshold,
            "top_k": self.top_k,
            "explain": n_reasons(self.explain, format_),
            "sample_rows": self.sample_rows,
            "seed": settings.seed if self.seed is None else self.seed,
            "parameters": json_object(self.parameters),
            "pipeline": self.pipeline,
        }
        options = {name: value for name, value in given.items() if value is not None}
        return Call(source, options)


def one_or_all(given: list[str] | None) -> str | list[str] | None:
    """The one name of a list as itself."""
    return given[0] if given and len(given) == 1 else given


DETECTION = Detection()


def detect(
    files: Sources,
    /,
    *,
    detector: Annotated[
        str | None, Parameter(help="A detector that `pynomaly detector ls` lists; other options go before its own.")
    ] = None,
    detection: Detection = DETECTION,
    written: Written = WRITTEN,
    outcome: Outcome = OUTCOME,
    common: Common = COMMON,
) -> int:
    """Find the anomalies in each FILE: `pynomaly detect data.csv`.

    A table shows the 20 most anomalous rows with their reasons; every other format writes all rows. The verdict and
    the columns that were left out are told on standard error.

    With several files, or where --output has no suffix, --output is a folder that gets one file for each input. A
    file that fails is told, the others are finished, and the exit code is 1.
    """
    caller = detection.call if detector is None else _of_detector(detector, detection, common)
    return scored(files, caller, written, outcome, common)


def _of_detector(name: str, detection: Detection, common: Common) -> Caller:
    """The calls with the parameters of a detector; what flags do not say is as it was defined."""
    flags = detection.call("", "json", Settings()).options
    with opened(resolve(common), read_only=True) as engine:
        options = engine.expanded({"detector": name, **flags})

    def call(source: str, format_: Format, _: Settings) -> Call:
        reasons = n_reasons(None, format_)
        return Call(source, options if reasons is None else {"explain": reasons, **options})

    return call


def json_object(text: str | None) -> dict[str, Any] | None:
    """The parameters of an algorithm, from the JSON of a flag."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) or None
    except msgspec.DecodeError:
        raise BadParameter(
            f"`--parameters` is {text!r}, not a JSON object", "write '{\"name\": value}' with quotes"
        ) from None
