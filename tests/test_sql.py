"""Golden SQL files: each case of each file on an engine of its own."""

from pathlib import Path

import pytest

import pynomaly
from sqltest import Block, Case, as_line, read

CASES = [
    pytest.param(case, id=f"{path.stem}: {case.title}")
    for path in sorted((Path(__file__).parent / "sql").glob("*.test"))
    for case in read(path)
]


@pytest.mark.parametrize("case", CASES)
def test_golden(case: Case) -> None:
    with pynomaly.connect() as engine:
        for block in case.blocks:
            run(engine, block)


def run(engine: pynomaly.Engine, block: Block) -> None:
    if block.kind == "error":
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.execute(block.sql).fetchall()
        code, _, text = block.argument.partition(" ")
        assert raised.value.code == code, f"line {block.line}: {raised.value}"
        assert text in str(raised.value), f"line {block.line}: {raised.value}"
        assert raised.value.mend, f"line {block.line}: no mend"
        return
    rows = engine.execute(block.sql).fetchall()
    if block.kind == "query":
        assert [as_line(row) for row in rows] == block.expected, f"line {block.line}"
