"""Excel: one sheet of a workbook."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from pynomaly.datasets.files import paths, size
from pynomaly.datasets.opened import Asked, Opened, missing
from pynomaly.errors import BadParameter, SourceUnreadable, did_you_mean


@contextmanager
def excel(asked: Asked) -> Iterator[Opened]:
    """The sheet that `sheet` names or counts from 1, by default the only one, below its first line of names."""
    asked.known("sheet", "header")
    files = paths(asked.source)
    if len(files) > 1:
        raise BadParameter(f"`{asked.source}` names {len(files)} workbooks", "name one")
    try:
        import fastexcel
    except ImportError:
        raise missing("fastexcel", "Excel") from None
    try:
        workbook = fastexcel.read_excel(files[0])
        sheet = workbook.load_sheet(_sheet(asked, workbook.sheet_names), header_row=_header(asked))
        table = pa.Table.from_batches([sheet.to_arrow()])
    except fastexcel.FastExcelError as error:
        cause = str(error).partition("\n")[0]
        raise SourceUnreadable(f"`{asked.source}` cannot be read: {cause}", "check the file") from None
    if not table.num_columns:
        raise SourceUnreadable(f"the sheet of `{asked.source}` is empty", f"it has {_listed(workbook.sheet_names)}")
    yield Opened(_without_blank_rows(table).to_reader(), size(files))


def _header(asked: Asked) -> int:
    """The number of the line with the names, from 0."""
    line: Any = asked.options.get("header", 1)
    if type(line) is not int or line < 1:
        raise BadParameter(f"`header` is {line!r}", "give the number of the line that has the names, from 1")
    return line - 1


def _sheet(asked: Asked, names: list[str]) -> str:
    """The name of the sheet that is meant."""
    wanted = asked.options.get("sheet")
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None:
        raise BadParameter(f"`{asked.source}` has several sheets", f"name one with `sheet`: {_listed(names)}")
    if type(wanted) is int and 1 <= wanted <= len(names):
        return names[wanted - 1]
    if wanted not in names:
        near = did_you_mean(str(wanted), names)
        raise BadParameter(f"`{asked.source}` has no sheet {wanted!r}", near)
    return str(wanted)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _without_blank_rows(table: pa.Table) -> pa.Table:
    """The rows that have a value: sheets end where somebody once clicked."""
    import pyarrow.compute as pc

    known = [column.is_valid() for column in table.columns]
    kept = known[0]
    for valid in known[1:]:
        kept = pc.or_(kept, valid)
    return table.filter(kept)
