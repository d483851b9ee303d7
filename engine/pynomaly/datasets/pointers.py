"""The `.dvc` files by which DVC knows a file: its MD5, size and path."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from pynomaly.datasets.opened import Asked, Opened, Opener
from pynomaly.errors import SourceUnreadable, UnknownSource

SUFFIX = ".dvc"
CACHE = Path(".dvc", "cache", "files", "md5")  # in the root of a DVC project
_FIELD = re.compile(r"""^[-\s]\s*(md5|size|path):\s*(.+?)\s*$""", re.MULTILINE)


def write(file: Path) -> Path:
    """Write the pointer of a file beside it, as `dvc add` does, and return its path."""
    pointer = file.with_name(file.name + SUFFIX)
    pointer.write_text(
        f"outs:\n- md5: {_md5(file)}\n  size: {file.stat().st_size}\n  hash: md5\n  path: {_yaml(file.name)}\n",
        encoding="utf-8",
    )
    return pointer


def pointed(opener: Callable[[str], Opener | None]) -> Opener:
    """What opens the file that a pointer names."""

    @contextmanager
    def opened(asked: Asked) -> Iterator[Opened]:
        file = read(Path(asked.source), asked.folder)
        found = opener(str(file))
        if found is None:
            raise SourceUnreadable(f"`{asked.source}` points at `{file.name}`, which no reader knows", "name the file")
        inner: AbstractContextManager[Opened] = found(msgspec.structs.replace(asked, source=str(file)))
        with inner as rows:
            yield rows

    return opened


def read(pointer: Path, folder: Path) -> Path:
    """The file that a pointer names: beside it, or in the cache of its project, linked into `folder` by its name."""
    if not pointer.is_file():
        raise UnknownSource(f"file `{pointer}` does not exist", "check the path")
    fields = {name: _plain(value) for name, value in _FIELD.findall(pointer.read_text(encoding="utf-8"))}
    if not {"md5", "path"} <= fields.keys() or not re.fullmatch("[0-9a-f]{32}", fields["md5"]):
        raise SourceUnreadable(f"`{pointer}` points at no single file", "give the .dvc file of one file")
    beside = pointer.parent / fields["path"]
    if beside.is_file():
        if _md5(beside) != fields["md5"]:
            raise SourceUnreadable(
                f"`{beside}` is not the file that `{pointer.name}` points at", "run `dvc checkout`, or `dvc add` it"
            )
        return beside
    return _cached(pointer, fields, folder)


def _cached(pointer: Path, fields: dict[str, str], folder: Path) -> Path:
    place = Path(fields["md5"][:2], fields["md5"][2:])
    for parent in pointer.resolve().parents:
        if (kept := parent / CACHE / place).is_file():
            named = folder / Path(fields["path"]).name
            named.symlink_to(kept)
            return named
    raise UnknownSource(f"`{fields['path']}`, which `{pointer}` points at, is not here", "run `dvc pull`")


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _yaml(text: str) -> str:
    """A text in YAML, which reads JSON's."""
    return text if re.fullmatch(r"[A-Za-z_][\w.-]*", text) else json.dumps(text)


def _plain(value: str) -> str:
    if value.startswith('"'):
        return str(json.loads(value))
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
