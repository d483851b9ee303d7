"""A fitted model as a folder that scores with numpy alone: no Pynomaly, no DuckDB, no compiler, for small devices."""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.errors import BadParameter, NotExportable
from pynomaly.model import Model
from pynomaly.version import __version__

Arrays = dict[str, NDArray[Any]]

RUNTIME = Path(__file__).parent / "runtime"
FORMAT = "pynomaly-numpy"
FILES = ("score.py", "model.npz", "manifest.json", "README.md")
NEEDED = ("name", "kind", "parts", "low", "high", "offset", "categories")  # of a column
LICENSE = "score.py: MIT, (c) 2026 the Pynomaly authors; the model belongs to whoever trained it"
README = """\
# A model that scores with numpy

`score.py` scores new rows by the model in `model.npz`; Python 3.9 and numpy 1.20 or later are enough:

```python
from score import score  # where this folder is on sys.path

scores, flags = score([{"amount": 12.5, "country": "NL"}])  # with the columns that manifest.json names
```

`manifest.json` names the columns with their encodings, the algorithm, the threshold above which a row is flagged, and
the digest of the model that was exported. Written by Pynomaly; no file here holds a pickle.
"""


class _Family(NamedTuple):
    """The algorithms that a file of the runtime scores by, each with what makes its arrays of a fitted state."""

    file: str
    needs: tuple[str, ...]  # the files that it imports
    arrays: dict[str, Callable[[Any], Arrays]]


def write(model: Model, folder: str | Path, about: dict[str, object]) -> None:
    """Write the folder, in the place of an earlier export or of nothing; `about` goes into its manifest.

    Raises NotExportable for an algorithm that has no formula here and for a model that kept no state, and BadParameter
    where the path holds anything else.
    """
    family, arrays = _exported(model)
    target = Path(folder)
    _refuse_others(target)
    for place, column in enumerate(model.encoder.columns):
        if column.kind in ("category", "frequency"):
            arrays[f"table_{place}"] = column.table
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    manifest = _manifest(model, {**about, "sha256": hashlib.sha256(packed.getvalue()).hexdigest()})
    files = (source(family).encode(), packed.getvalue(), manifest, README.encode())
    _replace(target, dict(zip(FILES, files, strict=True)))


def _exported(model: Model) -> tuple[_Family, Arrays]:
    """The family of a model's algorithm and the arrays of its state; none where every row scores 0."""
    name, families = model.algorithm.name, _families()
    family = next((family for family in families if name in family.arrays), None)
    if family is None:
        known = ", ".join(f"`{name}`" for family in families for name in family.arrays)
        raise NotExportable(f"a model of `{name}` cannot be scored with numpy alone", f"train one of {known}")
    if model.state is None and model.encoder.columns:
        raise NotExportable(
            "the model kept the scores of its own rows only", "train it on the whole table as one group"
        )
    return family, {} if model.state is None else family.arrays[name](model.state)


def _families() -> tuple[_Family, ...]:
    from pynomaly.export_numpy import states  # the kernels are slow to load

    return (
        _family("forest", (), states.iforest),
        _family("tails", (), states.ecod, states.copod),
        _family("bins", (), states.hbos),
        _family("projections", ("standard",), states.loda),
        _family("largest", (), states.zscore, states.mad, states.iqr),
        _family("axes", ("standard",), states.pca, states.mahalanobis),
        _family("nearest", ("standard",), states.knn, states.sampling, states.cblof),
    )


def _family(file: str, needs: tuple[str, ...], *functions: Any) -> _Family:
    """A family of algorithms by the functions that are called as they are."""
    return _Family(file, needs, {function.__name__: function for function in functions})


def source(family: _Family) -> str:
    """The text of `score.py`: files of the runtime one after another, each without what it imports of the others."""
    *before, main = (_Part.of(name) for name in (*family.needs, family.file, "score"))
    imports = {line for part in (*before, main) for line in part.imports}
    future = "from __future__ import annotations"
    plain = sorted(imports - {future}, key=lambda line: (line.startswith("from"), line))
    formulas = (f"# {part.told}\n\n\n{part.body}" for part in before)
    return "\n\n".join([f'"""{main.told}"""', future, "\n".join(plain), *formulas, main.body])


class _Part(NamedTuple):
    """A file of the runtime: its docstring, the lines that import, and the rest."""

    told: str
    imports: list[str]
    body: str

    @classmethod
    def of(cls, name: str) -> "_Part":
        """The parts of a file that begins with a docstring and a line between."""
        _, told, rest = (RUNTIME / f"{name}.py").read_text(encoding="utf-8").split('"""', 2)
        lines = re.findall(r"^(?:import|from) .*$", rest, re.MULTILINE)
        body = re.sub(r"^(?:import|from) .*\n", "", rest, flags=re.MULTILINE).strip("\n")
        return cls(told, [line for line in lines if not line.startswith("from pynomaly")], f"{body}\n")


def _manifest(model: Model, about: dict[str, object]) -> bytes:
    threshold = model.threshold
    columns = [{name: getattr(column, name) for name in NEEDED} for column in model.encoder.columns]
    manifest = {
        "format": FORMAT,
        "release": __version__,
        **about,
        "algorithm": model.algorithm.name,
        "threshold": threshold if threshold is None or np.isfinite(threshold) else str(threshold),
        "cut_off": model.cut_off,
        "features": [column.name for column in model.encoder.columns],
        "encodings": dict(model.encoder.describe()),
        "columns": columns,
        "license": LICENSE,
    }
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)


def _refuse_others(target: Path) -> None:
    """Raise BadParameter unless the path is free, an empty folder, or an earlier export."""
    held = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if target.exists() and not (target.is_dir() and held <= {*FILES, "__pycache__"}):
        raise BadParameter(f"`{target}` is there and holds something else", "name a folder that is not there yet")


def _replace(target: Path, files: dict[str, bytes]) -> None:
    """Put the folder in its place as a whole: what is there is kept until all is written."""
    final = target.resolve()
    final.parent.mkdir(parents=True, exist_ok=True)
    made, former = (final.with_name(f".{final.name}.{os.getpid()}.{name}") for name in ("tmp", "old"))
    try:
        made.mkdir()
        for name, data in files.items():
            (made / name).write_bytes(data)
        if final.exists():
            final.rename(former)
        made.rename(final)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)
