"""The files that a source names: one, several by a pattern, or those of a folder."""

import glob
from pathlib import Path

from pynomaly.errors import UnknownSource, did_you_mean
from pynomaly.paths import is_file, is_folder


def paths(source: str) -> list[str]:
    """The files of a path or pattern in their order; UnknownSource where there is none."""
    if is_file(source):
        return [source]
    matches = glob.glob(source, recursive=True)  # noqa: PTH207 - a pattern may be absolute
    found = sorted(path for path in matches if Path(path).is_file())
    if found:
        return found
    if any(sign in source for sign in "*?["):
        raise UnknownSource(f"no file matches `{source}`", "check the pattern")
    folder = Path(source).parent
    beside = [path.name for path in folder.iterdir() if path.is_file()] if is_folder(str(folder)) else []
    raise UnknownSource(f"file `{source}` does not exist", did_you_mean(Path(source).name, beside) or "check the path")


def size(files: list[str]) -> int:
    """The bytes of files together."""
    return sum(Path(file).stat().st_size for file in files)
