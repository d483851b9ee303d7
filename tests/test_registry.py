"""The registry: names without imports, parameters read from the records, and errors that say what to do."""

import subprocess
import sys
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
import numpy as np
import pytest
from msgspec import Meta

from pynomaly import registry, wrapped
from pynomaly.algorithm import Algorithm, Params
from pynomaly.errors import AlgorithmUnavailable, BadParameter, UnknownAlgorithm


class ExampleParams(Params, frozen=True):
    count: Annotated[int, Meta(ge=1, le=10_000, description="A count")] = 5
    share: Annotated[float, Meta(gt=0, le=1, description="A share")] = 0.5
    method: Annotated[Literal["largest", "mean"], Meta(description="A choice")] = "largest"
    centred: Annotated[bool, Meta(description="A flag")] = False
    most: Annotated[Annotated[int, Meta(ge=1, le=9)] | Literal["auto"], Meta(description="Or a word")] = "auto"
    axes: Annotated[Annotated[int, Meta(ge=1, le=9)] | None, Meta(description="Or none")] = None


EXAMPLE = Algorithm(
    name="example",
    summary="An example",
    kind="table",
    family="none",
    reference="none",
    complexity="O(1)",
    params=ExampleParams,
    fit=lambda X, params, seed: None,  # type: ignore[arg-type,return-value]
    score=lambda state, X, own: X[:, 0],
)

BAD_VALUES = [
    ("count", 0, "[bad_parameter] `count` is 0; give a whole number from 1 to 10,000 (default 5)"),
    ("count", 2.5, "`count` is 2.5;"),
    ("count", True, "`count` is True;"),
    ("count", "many", "`count` is 'many';"),
    ("count", Decimal("Infinity"), "`count` is Infinity;"),
    ("share", 0, "give a number above 0 and up to 1 (default 0.5)"),
    ("share", float("nan"), "`share` is nan;"),
    ("method", "median", "`method` is 'median'; give one of `largest`, `mean` (default largest)"),
    ("centred", 3, "give true or false (default false)"),
    ("most", 10, "give a whole number from 1 to 9 or `auto` (default auto)"),
    ("most", "all", "`most` is 'all';"),
    ("axes", [1], "`axes` is [1];"),
]


def test_names_come_from_the_files_and_the_table_without_imports() -> None:
    forbidden = "{'numba', 'pyod', 'sklearn', 'pandas', 'pynomaly.algorithms'}"
    program = f"import sys; from pynomaly import registry; registry.names(); print({forbidden} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_names_are_unique_and_sorted() -> None:
    names = registry.names()
    assert names == sorted(set(names))
    assert {row.name for row in wrapped.TABLE} < set(names)


def test_an_unknown_algorithm_offers_the_nearest_names() -> None:
    with pytest.raises(UnknownAlgorithm, match=r"no algorithm `iforst`; did you mean .*`iforest`"):
        registry.get("iforst")


@pytest.mark.parametrize("name", ["../engine", "__init__", "", "os"])
def test_a_name_is_never_imported_unless_it_is_listed(name: str) -> None:
    with pytest.raises(UnknownAlgorithm):
        registry.get(name)


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(AlgorithmUnavailable, match=r"needs the package `sklearn`; pip install scikit-learn"):
        registry.get("sklearn_isolation_forest")
    listed = {record.name: record for record in registry.records()}
    assert not listed["pyod_knn"].available
    assert listed["pyod_knn"].install_hint == "pip install pyod"


def test_records_list_every_algorithm() -> None:
    records = registry.records()
    assert [record.name for record in records] == registry.names()
    assert all(record.available == (record.install_hint is None) for record in records)
    assert all(record.available or "torch" in str(record.install_hint) for record in records)


def test_parameters_are_read_from_the_record() -> None:
    found = {parameter.name: parameter for parameter in registry.parameters(EXAMPLE)}
    assert list(found) == list(ExampleParams.__struct_fields__)
    assert found["count"] == registry.Parameter("count", "INTEGER", 1, 10_000, None, "5", "A count")
    assert found["share"] == registry.Parameter("share", "DOUBLE", 0, 1, None, "0.5", "A share")
    assert found["method"].choices == ("largest", "mean")
    assert (found["method"].type, found["centred"].type) == ("VARCHAR", "BOOLEAN")
    assert found["most"] == registry.Parameter("most", "INTEGER", 1, 9, ("auto",), '"auto"', "Or a word")
    assert found["axes"].default == "null"


def test_parsing_takes_what_sql_and_the_shell_write() -> None:
    given = {"count": Decimal("7.0"), "share": Decimal("0.25"), "centred": "true", "most": "3", "axes": np.int64(2)}
    params, explicit = registry.parse_parameters(EXAMPLE, given)
    assert params == ExampleParams(count=7, share=0.25, centred=True, most=3, axes=2)
    assert explicit == set(given)
    assert registry.parse_parameters(EXAMPLE, {"count": 7.0})[0] == ExampleParams(count=7)
    assert registry.parse_parameters(EXAMPLE, {"share": 1})[0] == ExampleParams(share=1.0)


def test_null_is_not_given() -> None:
    assert registry.parse_parameters(EXAMPLE, {"count": None}) == (ExampleParams(), frozenset())


@pytest.mark.parametrize(("name", "value", "told"), BAD_VALUES)
def test_a_bad_value_names_the_parameter_the_value_and_the_range(name: str, value: object, told: str) -> None:
    with pytest.raises(BadParameter) as raised:
        registry.parse_parameters(EXAMPLE, {name: value})
    assert told in str(raised.value)


def test_an_unknown_parameter_offers_the_nearest_names() -> None:
    with pytest.raises(BadParameter, match=r"`example` has no parameter `cuont`; did you mean `count`"):
        registry.parse_parameters(EXAMPLE, {"cuont": 1})
    with pytest.raises(BadParameter, match=r"`pyod_ecod` has no parameter `k`; it has none"):
        registry.parse_parameters(registry.get("pyod_ecod"), {"k": 1})


@pytest.mark.parametrize(("n_rows", "chosen"), [(5, "mad"), (20, "knn"), (499, "knn"), (500, "iforest")])
def test_auto_chooses_by_the_number_of_rows(n_rows: int, chosen: str) -> None:
    assert registry.auto(n_rows) == chosen


def test_a_default_is_written_once() -> None:
    """What `parameters` lists is what a call without parameters gets."""
    for name in (record.name for record in registry.records() if record.available):
        found = registry.get(name)
        listed = {p.name: msgspec.json.decode(p.default) for p in registry.parameters(found)}
        assert listed == msgspec.structs.asdict(registry.parse_parameters(found, {})[0])
