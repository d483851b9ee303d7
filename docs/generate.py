"""Writes docs/algorithms.md from the registry: `python docs/generate.py`."""

from pathlib import Path

import pynomaly

PAGE = Path(__file__).parent / "algorithms.md"
HEAD = """# Algorithms

Every name that `algorithm` takes, as `from algorithms()` lists it; `from algorithm_parameters('knn')` lists the
parameters of one. Written from the registry by `just docs`.

"n" is rows, "d" columns. A detector with "own rows only" scores a table as a whole and gives no score to other rows.
Reasons are exact, or documented shares, for our own algorithms; for those of PyOD and scikit-learn they are robust
deviations: how many scaled median absolute deviations a column's value is from its median.
"""
GROUPS = (
    ("Our own", "not contains(name, 'pyod_') and not contains(name, 'sklearn_')"),
    ("Of PyOD", "starts_with(name, 'pyod_') and not neural"),
    ("Of PyOD, with torch", "starts_with(name, 'pyod_') and neural"),
    ("Of scikit-learn", "starts_with(name, 'sklearn_')"),
)
QUERY = """
select name, family, summary, reference, complexity, max_rows, scores_new_rows
from (select *, family = 'neural network' as neural from algorithms())
where {condition}
order by name
"""
RULES = "select name, is_default, summary, reference from threshold_rules() order by not is_default, name"


def page() -> str:
    """The whole page."""
    with pynomaly.connect() as engine:
        parts = [HEAD]
        for title, condition in GROUPS:
            rows = engine.execute(QUERY.format(condition=condition)).fetchall()
            lines = [_line(name, family, summary, reference, cost, _limits(most, alone))
                     for name, family, summary, reference, cost, most, alone in rows]  # fmt: skip
            head = [_line("name", "family", "what it is", "source", "cost", "limits"), _line(*["---"] * 6)]
            parts.append(f"## {title}: {len(rows)}\n\n" + "\n".join([*head, *lines]) + "\n")
        parts.append(_rules(engine))
    return "\n".join(parts)


def _rules(engine: pynomaly.Engine) -> str:
    rows = engine.execute(RULES).fetchall()
    head = [_line("rule", "what it does", "source"), _line(*["---"] * 3)]
    lines = [_line(name + " (default)" * is_default, what, source) for name, is_default, what, source in rows]
    return "## Rules that find a threshold\n\n" + "\n".join([*head, *lines]) + "\n"


def _limits(max_rows: int | None, scores_new_rows: bool) -> str:
    told = [f"{max_rows:,} rows"] if max_rows is not None else []
    return ", ".join([*told, *([] if scores_new_rows else ["own rows only"])])


def _line(*cells: str) -> str:
    escaped = [cell.replace("|", "\\|").replace("*", "\\*") for cell in cells]
    return f"| {' | '.join(escaped)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
