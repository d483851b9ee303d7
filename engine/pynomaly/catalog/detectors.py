"""A named configuration of a detection: the parameters that were given, and what else may be given with it."""

from typing import Any

import msgspec

from pynomaly import options, registry
from pynomaly.options import MINIMUM_ROWS
from pynomaly.source import roles

CUT_OFFS = ("contamination", "threshold", "top_k")
OF_ALGORITHM = ("combine", "parameters")
NUMBERS = (*CUT_OFFS, "explain", "sample_rows", "seed", "parameters")


def checked(given: dict[str, Any]) -> str:
    """The parameters that are given, None where not, as JSON; refused as detect_anomalies refuses them."""
    roles(*(given[name] for name in ("features", "exclude", "label", "key", "by")))
    found = options.check(
        registry.AUTO if given["algorithm"] is None else given["algorithm"],
        given["combine"],
        given["contamination"],
        given["threshold"],
        given["top_k"],
        given["explain"] or 0,
        MINIMUM_ROWS if given["sample_rows"] is None else given["sample_rows"],
        given["seed"] or 0,
        given["parameters"],
        given["features"],
        given["by"],
    )
    plain = {name: value for name in NUMBERS if (value := getattr(found, name)) is not None}
    return msgspec.json.encode(
        {name: plain.get(name, value) for name, value in given.items() if value is not None}
    ).decode()


def overridden(stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a detector with others in their place.

    A cut-off takes the place of the one that is stored, and another algorithm has none of the stored one's parameters.
    """
    displaced = {name for name in CUT_OFFS if any(given.get(cut_off) is not None for cut_off in CUT_OFFS)}
    if given.get("algorithm") is not None:
        displaced.update(OF_ALGORITHM)
    return {name: value for name, value in stored.items() if name not in displaced} | given
