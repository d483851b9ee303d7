"""The shape of the project: imports point inward, the top level holds what it should."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "engine" / "pynomaly"
TOP_LEVEL = {
    "pyproject.toml", "engine", "sql", "server", "web", "tests", "benchmarks", "README.md", "justfile",
    "LICENSE", "CHANGELOG.md", ".ci", ".gitignore", "docs", "deploy",
}  # fmt: skip
# The layers from the inside out; a module may import its own layer and those before it.
LAYERS = (
    ("kernels", "ctrl_c", "errors", "garbage", "layout", "samples", "workers", "version"),
    ("algorithm", "arrays", "rows", "known", "memory"),
    ("cutoffs", "metrics"),
    ("combination",),
    ("algorithms", "deviations", "ensembles", "plugins", "wrapped"),
    ("registry",),
    ("features", "feature_macros", "feature_sql", "steps", "columns", "encoding", "paths", "quoting", "schema", "urls"),
    ("nodes", "sizes", "macros"),
    ("access", "snapshots", "versions"),
    ("source", "reachable", "pipelines", "suggestions", "options", "calls", "translate"),
    ("rules", "confinement"),
    ("predicates", "writing"),
    ("model",),
    ("comparison", "cache", "export_numpy", "export_sql", "reasons", "frames", "stored"),
    ("estimate", "geometry"),
    ("catalog",),
    ("functions", "registration", "result"),
    (
        *("session", "datasets", "insights", "keeping", "pipeline_commands", "query_log", "runs", "sharing"),
        "validating",
    ),
    ("commands", "confined", "detecting"),
    ("engine",),
    ("__init__", "cli", "__main__"),
)
LAYER_OF = {name: depth for depth, names in enumerate(LAYERS) for name in names}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The parts of this package that a file imports, function bodies included, type-only imports left out."""
    found: set[str] = set()
    for node in ast.walk(without_typing(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.ImportFrom) and node.module == "pynomaly":
            found.update(alias.name for alias in node.names if alias.name in LAYER_OF)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pynomaly."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pynomaly."))
    return found


def without_typing(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_inward(path: Path) -> None:
    assert top(path) in LAYER_OF, f"{path.name} has no layer: add it to LAYERS"
    outward = {name for name in imported(path) if LAYER_OF[name] > LAYER_OF[top(path)]}
    assert not outward, f"{path.name} imports {outward}, which are further out"


def test_server_imports_no_kernel_and_no_algorithm() -> None:
    inner = {"kernels", "algorithms", "algorithm", "registry", "wrapped"}
    for path in (ROOT / "server").rglob("*.py"):
        assert not imported(path) & inner, path


def test_top_level_holds_what_it_should() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    ignored = {path.name for path in ROOT.iterdir() if path.name.startswith(".") or path.name.startswith("__")}
    assert {path.name for path in ROOT.iterdir()} - ignored - {"build", "dist"} <= TOP_LEVEL
