"""A fitted model as bytes, and back. docs/model-format.md says what the bytes are."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import msgspec

from pynomaly import deviations, registry
from pynomaly.algorithm import Algorithm, State
from pynomaly.encoding import Encoder, LeftOut
from pynomaly.errors import (
    LibraryChanged,
    ModelCorrupt,
    ModelNewer,
    ModelNotStorable,
    PynomalyError,
    UnknownAlgorithm,
)
from pynomaly.layout import require
from pynomaly.model import Model
from pynomaly.stored import format as container
from pynomaly.stored import signing
from pynomaly.stored.columns import check_columns
from pynomaly.stored.states import TELL, Reader, Writer, state_class
from pynomaly.version import __version__

BLOCK = 512  # rows scored between two looks at whether to stop; the one measured would change the digest
UNDER = {"pyod": ("sklearn",)}  # what a library's own objects are made of besides what its records require


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header of a stored model. `libraries` holds versions by the names of their distributions."""

    release: str
    algorithms: tuple[str, ...]
    rule: str | None
    libraries: dict[str, str]
    columns: tuple[dict[str, Any], ...]
    left_out: tuple[LeftOut, ...]
    state: dict[str, Any] | None
    deviations: dict[str, Any] | None
    threshold: float | str | None
    cut_off: str
    explain: int
    seed: int | str
    notes: tuple[str, ...]
    arrays: tuple[container.Described, ...]
    key: str | None  # the fingerprint of the key that signed the file


class Written(msgspec.Struct, frozen=True):
    """What is read of any header, also of one that this release does not understand."""

    release: str = ""


_HEADER, _WRITTEN = msgspec.json.Decoder(Header), msgspec.json.Decoder(Written)


def digest(data: bytes) -> str:
    """The SHA-256 of a stored model, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def dump(model: Model) -> bytes:
    """A model as bytes, without its training scores: as stored, it takes every row for a new one.

    The same own model gives the same bytes; pickles of equal objects may differ. Raises ModelNotStorable for a
    batch-only algorithm, and ModelKeyUnavailable where the model must be signed and there is no key.
    """
    _check_storable(model)
    writer = Writer()
    state = None if model.state is None else writer.state(model.state, state_class(model.algorithm))
    contributions = None if model.deviations is None else writer.state(model.deviations, _base())
    key = signing.key_to_sign() if writer.must_sign else None
    header = Header(
        release=__version__,
        algorithms=model.algorithm.members or (model.algorithm.name,),
        rule=model.algorithm.rule,
        libraries=_libraries(_parts(model.algorithm)) if key else {},
        columns=tuple(msgspec.structs.asdict(column) for column in model.encoder.columns),
        left_out=model.encoder.left_out,
        state=state,
        deviations=contributions,
        threshold=_number_out(model.threshold),
        cut_off=model.cut_off,
        explain=model.explain,
        seed=str(model.seed),
        notes=model.notes,
        arrays=tuple(map(container.described, writer.arrays)),
        key=key.fingerprint if key else None,
    )
    body = container.packed(msgspec.json.encode(header), writer.arrays)
    body += key.sign(body) if key else b""
    return container.sealed(body)


def load(data: bytes) -> Model:
    """The model of some bytes; nothing of them is run unless the key here has signed them.

    Raises ModelCorrupt, ModelNewer, ModelUntrusted, LibraryChanged, ModelKeyUnavailable, and AlgorithmUnavailable.
    """
    opened = container.opened(data)
    with _damage(opened.header):
        header = _HEADER.decode(opened.header)
        body = opened.body if header.key is None else signing.verify(opened.body, header.key)
        arrays = container.unpacked(body, opened.end_of_header, header.arrays)
        algorithm = registry.resolve(header.algorithms, header.rule)
        if header.key is not None:
            _check_libraries(header.libraries, _libraries(_parts(algorithm)))
        return _model(header, algorithm, Reader(arrays, header.key is not None))


def _model(header: Header, algorithm: Algorithm, reader: Reader) -> Model:
    encoder = Encoder(check_columns(header.columns), header.left_out)
    require(algorithm.scores_new_rows, f"`{algorithm.name}` scores no new rows")
    state = contributions = None
    if header.state is not None:
        require(encoder.n_features > 0, "it has a state and no features")
        state = reader.state(state_class(algorithm), header.state, encoder.n_features)
    if header.deviations is not None:
        contributions = reader.state(_base(), header.deviations, encoder.n_features)
    is_explained = state is None or header.explain == 0 or algorithm.explain is not None
    require(is_explained or contributions is not None, "it has no reasons")
    return Model(
        algorithm=algorithm,
        encoder=encoder,
        state=state,
        deviations=contributions,
        block=BLOCK,
        known=None,
        is_closed=False,
        threshold=None if header.threshold is None else float(header.threshold),
        cut_off=header.cut_off,
        explain=header.explain,
        seed=int(header.seed),
        notes=header.notes,
    )


def _check_storable(model: Model) -> None:
    """Only what scores new rows is stored."""
    name = model.algorithm.name
    if not model.algorithm.scores_new_rows:
        raise ModelNotStorable(
            f"`{name}` is a batch-only algorithm: it scores the rows that it was fitted to and no others",
            "detect with it, or train another, such as `iforest`",
        )
    if model.state is None and model.known is not None:
        raise ModelNotStorable(f"this model of `{name}` holds scores alone", "train the model by itself")
    for member in model.algorithm.members:
        if state_class(registry.get(member)) is State:
            raise ModelNotStorable(f"`{member}` does not say what its fit returns", TELL)


def _base() -> type[State]:
    """The state of the reasons of algorithms that have none of their own."""
    return state_class(registry.get(deviations.BASE))


@contextmanager
def _damage(header: bytes) -> Iterator[None]:
    """Turn what goes wrong with a header that does not fit this release into the error that says so."""
    try:
        yield
    except (ModelCorrupt, UnknownAlgorithm) as error:
        raise _newer(header) or error from None
    except PynomalyError:
        raise
    except (msgspec.MsgspecError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise _newer(header) or ModelCorrupt(f"the model is damaged: {error}") from error


def _newer(header: bytes) -> ModelNewer | None:
    """The error for a model that a newer release has written."""
    try:
        release = _WRITTEN.decode(header).release
    except (msgspec.MsgspecError, RecursionError):
        return None
    if _version(release)[:3] <= _version(__version__)[:3]:
        return None
    return ModelNewer(f"pynomaly {release[:40]} has stored this model, and this is {__version__}", container.UPGRADE)


def _version(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    return tuple(map(int, re.findall(r"\d{1,9}", text)[:3]))


def _parts(algorithm: Algorithm) -> Sequence[Algorithm]:
    """The algorithms that a combination is made of, or the one."""
    return [registry.get(name) for name in algorithm.members] or [algorithm]


def _libraries(algorithms: Sequence[Algorithm]) -> dict[str, str]:
    """The versions of the libraries behind some algorithms."""
    packages = {package for found in algorithms for package in found.requires}
    packages |= {below for package in packages for below in UNDER.get(package, ())}
    names = sorted(registry.DISTRIBUTIONS.get(package, package) for package in packages)
    return {name: _installed(name) for name in names}


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _check_libraries(stored: dict[str, str], here: dict[str, str]) -> None:
    """Raise LibraryChanged where a library has another major version than the model was stored with."""
    for name, version in stored.items():
        found = here.get(name) or _installed(name)
        if _version(version)[:1] != _version(found)[:1]:
            raise LibraryChanged(
                f"the model was stored with {name} {version}, and here is {found or 'none'}",
                f"train it again, or install {name} {version}",
            )


def _number_out(value: float | None) -> float | str | None:
    """A number as JSON has it; infinity as a text."""
    return value if value is None or abs(value) < float("inf") else str(value)
