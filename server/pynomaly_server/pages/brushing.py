"""The rectangle that somebody draws in a scatter, as a condition on the rows of the table."""

from collections.abc import Mapping, Sequence

import msgspec

from pynomaly.quoting import identifier, literal, texts
from pynomaly_server.pages.result_pictures import N_SAMPLED, Of
from pynomaly_server.rowsets import Rows

SIDES = ("x_from", "x_to", "y_from", "y_to")
_BY_AXES = """
select * from ({rows}
)
where key in (
    select key from project({run}, sample_rows := {n_sampled}{among})
    where components[1] between ? and ? and components[2] between ? and ?
)
"""


def chosen(name: str | None, names: list[str], otherwise: int = 0) -> str:
    """The name of a column that is there."""
    return name if name in names else names[min(otherwise, len(names) - 1)]


def needs_source(of: Of, given: Mapping[str, str]) -> bool:
    """Whether the rectangle lies in columns of the source, which have to be joined."""
    return given.get("view") != "axes" and bool(of.columns)


def brushed(
    rows: Rows, of: Of, given: Mapping[str, str], sides: list[float], types: dict[str, str],
    keys: Sequence[str] | None = None,
) -> Rows:  # fmt: skip
    """The rows that lie in a rectangle: of two columns, or of the principal axes of the model's features.

    `keys` are those of the rows, where they are few.
    """
    parameters = [*rows.parameters, *sides]
    if given.get("view") == "axes":
        select = _BY_AXES.format(
            rows=rows.select, run=literal(of.run), n_sampled=N_SAMPLED,
            among="" if keys is None else f", keys := {texts(keys)}",
        ).strip()  # fmt: skip
        return msgspec.structs.replace(rows, select=select, parameters=parameters)
    if len(of.numbers) < 2 or not of.columns:
        return rows
    joined = list(types)[len(types) - len(of.columns) :]  # found by their place, as joined columns are renamed
    called = dict(zip(of.columns, joined, strict=True))
    x, y = chosen(given.get("x"), of.numbers), chosen(given.get("y"), of.numbers, 1)
    within = " and ".join(f"{identifier(called[name])}::double between ? and ?" for name in (x, y))
    select = f"select * from ({rows.select}\n) where {within}"
    return msgspec.structs.replace(rows, select=select, parameters=parameters)
