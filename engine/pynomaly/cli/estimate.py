"""`pynomaly estimate`: what a detection would cost."""

from typing import Annotated

from cyclopts import Parameter

from pynomaly.calls import COST_OPTIONS, macro_call
from pynomaly.cli.detect import json_object, one_or_all
from pynomaly.cli.listing import listed
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, resolve, split


def estimate(
    source: Annotated[str, Parameter(help="A file, or with --db a table or view.")],
    /,
    *,
    algorithm: Annotated[
        list[str] | None, Parameter(alias="-a", help="A name that `pynomaly algorithms` lists, or several.")
    ] = None,
    combine: Annotated[str | None, Parameter(help="How several algorithms become one score.")] = None,
    features: Annotated[list[str] | None, Parameter(help="Columns to use, and no others.")] = None,
    exclude: Annotated[list[str] | None, Parameter(help="Columns not to use.")] = None,
    label: Annotated[list[str] | None, Parameter(help="Columns that say what is true; not used.")] = None,
    key: Annotated[list[str] | None, Parameter(help="Columns that identify a row; not used.")] = None,
    sample_rows: Annotated[int | None, Parameter(help="Fit on about so many rows at most (262144).")] = None,
    seed: Annotated[int | None, Parameter(help="The seed of everything random (0).")] = None,
    parameters: Annotated[str | None, Parameter(help="The algorithm's own parameters as JSON.")] = None,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell what a detection would cost, without running it: `pynomaly estimate payments.parquet -a knn`."""
    given = {
        "algorithm": one_or_all(split(algorithm)),
        "combine": combine,
        "features": split(features),
        "exclude": split(exclude),
        "label": split(label),
        "key": split(key),
        "sample_rows": sample_rows,
        "seed": resolve(common).seed if seed is None else seed,
        "parameters": json_object(parameters),
    }
    rows = f"from {macro_call('estimate_cost', COST_OPTIONS, (source,), given)}"
    return listed(rows, resolve(common), written, common)
