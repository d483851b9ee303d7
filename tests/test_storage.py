"""Stored models: they score as before, an old one is still read, and a damaged or hostile one does no harm."""

import hashlib
import json
import os
import pickle
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynomaly import model, registry, stored
from pynomaly.errors import (
    FitFailed,
    LibraryChanged,
    ModelCorrupt,
    ModelKeyUnavailable,
    ModelNewer,
    ModelNotStorable,
    ModelUntrusted,
    PynomalyError,
    TooFewRows,
)
from pynomaly.model import Model
from pynomaly.stored import models, signing
from pynomaly.stored.format import DIGEST, PREAMBLE
from pynomaly.stored.states import checks_itself, state_class
from test_contract import every_algorithm
from write_vectors import FEW, FOLDER, MANY, asked, chosen, sample

VECTORS = sorted(file.stem for file in FOLDER.glob("*.model"))
KEY = "a key that is only for tests"
WRAPPED = "sklearn_elliptic_envelope"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, KEY)


def fitted(name: str, n: int = FEW, **more: Any) -> Model:
    rows = sample(n, 3)
    try:
        return model.fit(rows, chosen(name, **more), n)
    except (FitFailed, TooFewRows) as error:
        pytest.skip(str(error))


def plain(name: str, n: int = FEW, d: int = 3, **more: Any) -> Model:
    """A model of numbers alone."""
    X = np.random.default_rng(5).normal(size=(n, d))
    rows = pa.StructArray.from_arrays([pa.array(column) for column in X.T], names=[f"x{j}" for j in range(d)])
    return model.fit(rows, chosen(name, **more), n)


def assert_equal(before: Model, after: Model, rows: pa.StructArray) -> None:
    """Scores, reasons and words are the same to the bit; a stored model takes every row for a new one."""
    fresh = msgspec.structs.replace(before, known=None)
    (scores, X), (again, Y) = fresh.score(rows), after.score(rows)
    assert np.array_equal(X, Y, equal_nan=True)
    assert np.array_equal(scores, again, equal_nan=True)
    assert np.array_equal(fresh.contributions(X), after.contributions(X), equal_nan=True)
    assert after.encoder.columns == before.encoder.columns
    assert after.encoder.left_out == before.encoder.left_out
    assert after.encoder.describe() == before.encoder.describe()
    assert after.algorithm.name == before.algorithm.name
    for field in ("threshold", "cut_off", "explain", "seed", "notes"):
        assert getattr(after, field) == getattr(before, field)


def resealed(data: bytes, header: dict[str, Any] | None = None, body: bytes | None = None) -> bytes:
    """A file with a right digest, another header or other arrays."""
    parts = PREAMBLE.unpack_from(data)
    end = PREAMBLE.size + parts[2]
    old = bytes(data[PREAMBLE.size : end])
    new = old if header is None else json.dumps({**json.loads(old), **header}).encode()
    arrays = data[end + -end % 64 : -DIGEST] if body is None else body
    out = PREAMBLE.pack(parts[0], parts[1], len(new)) + new
    out += bytes(-len(out) % 64) + arrays if arrays else b""
    return out + hashlib.sha256(out).digest()


def header_of(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data[PREAMBLE.size : PREAMBLE.size + PREAMBLE.unpack_from(data)[2]])
    return found


@every_algorithm
def test_a_stored_model_scores_as_before(name: str) -> None:
    if not registry.get(name).scores_new_rows:
        pytest.skip("batch-only")
    before = fitted(name)
    data = stored.dump(before)
    assert_equal(before, stored.load(data), asked())
    if header_of(data)["key"] is None:  # pickles of equal objects may differ
        assert stored.dump(stored.load(data)) == data


@every_algorithm
def test_a_batch_only_algorithm_is_refused(name: str) -> None:
    if registry.get(name).scores_new_rows:
        pytest.skip("scores new rows")
    with pytest.raises(ModelNotStorable, match="batch-only"):
        models._check_storable(msgspec.structs.replace(plain("zscore"), algorithm=registry.get(name)))


@pytest.mark.parametrize("rule", ["tail", "vote", "aom"])
def test_combinations(rule: str) -> None:
    before = fitted("iforest+knn+ecod", combine=rule)
    assert_equal(before, stored.load(stored.dump(before)), asked())


def test_a_combination_with_a_wrapped_class_and_a_bagging() -> None:
    before = fitted(f"{WRAPPED}+feature_bagging+mad")
    data = stored.dump(before)
    assert header_of(data)["key"]
    assert_equal(before, stored.load(data), asked())


def test_bagging_of_a_wrapped_class() -> None:
    before = fitted("feature_bagging", parameters={"base": WRAPPED, "n_estimators": 2})
    assert_equal(before, stored.load(stored.dump(before)), asked())


def test_a_forest_with_a_plan() -> None:
    before = fitted("iforest", MANY)
    assert len(before.state.first_leaf) > 1  # type: ignore[union-attr]
    assert_equal(before, stored.load(stored.dump(before)), asked())


def test_one_column_and_one_tree_level() -> None:
    for name in ("kde", "knn", "ecod", "iforest"):
        before = plain(name, 700, 1)
        rows = pa.StructArray.from_arrays([pa.array([0.0, 9.0, None])], names=["x0"])
        assert_equal(before, stored.load(stored.dump(before)), rows)


def test_every_kind_of_column() -> None:
    n = 400
    rng = np.random.default_rng(0)
    many = rng.choice([f"t{i}" for i in range(30)], n, p=np.arange(1, 31) / 465)
    columns = {
        "rare": pa.array(many),
        "one": pa.array(["only" if i % 40 else None for i in range(n)]),
        "two": pa.array(["é" if i % 3 else "\x01" for i in range(n)]),
        "clock": pa.array(rng.integers(0, 86_400, n), pa.int32()).cast(pa.time32("s")),
        "span": pa.array(rng.integers(0, 10**6, n), pa.duration("s")),
        "huge": pa.array(np.where(rng.random(n) < 0.1, np.inf, rng.normal(size=n))),
        "day": pa.array(rng.integers(0, 9_000, n), pa.int32()).cast(pa.date32()),
    }
    rows = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    before = model.fit(rows, chosen("zscore"), n)
    after = stored.load(stored.dump(before))
    assert len(after.encoder.columns) == len(columns)
    assert_equal(before, after, rows)
    for place, column in enumerate(after.encoder.columns):
        told = np.eye(len(column.parts))[0]
        assert after.encoder.expected(place, told) == before.encoder.expected(place, told)


def test_constant_rows_infinite_threshold_and_a_long_seed() -> None:
    rows = pa.StructArray.from_arrays([pa.array([1.0] * 9)], names=["x"])
    for name in ("mad", "knn+ecod"):
        after = stored.load(stored.dump(model.fit(rows, chosen(name), 9)))
        assert after.score(rows)[0].tolist() == [0.0] * 9
    before = plain("half_space_trees", seed=2**70)
    before = msgspec.structs.replace(before, threshold=float("inf"))
    after = stored.load(stored.dump(before))
    assert (after.seed, after.threshold) == (2**70, float("inf"))


@pytest.mark.parametrize("name", registry.own_names())
def test_an_own_state_checks_itself_and_is_not_signed(name: str) -> None:
    assert checks_itself(state_class(registry.get(name)))
    assert (FOLDER / f"{name}.model").exists(), "run `python tests/write_vectors.py`"


@pytest.mark.parametrize("name", VECTORS)
def test_what_an_earlier_release_stored_is_read(name: str) -> None:
    told = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    found = stored.load((FOLDER / f"{name}.model").read_bytes())
    scores, X = found.score(asked())
    numbers = np.array(told["scores"], np.float64)
    np.testing.assert_allclose(scores, numbers, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.contributions(X), np.array(told["contributions"]), rtol=1e-9, atol=1e-9)


def test_vectors_are_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 400_000


def test_a_file_holds_little_more_than_its_arrays() -> None:
    before = plain("iforest", 2_000)
    arrays = model._nbytes(before.state) + model._nbytes(before.deviations)
    assert len(stored.dump(before)) < arrays + 3_000 + 64 * len(header_of(stored.dump(before))["arrays"])


VECTOR = (FOLDER / "iforest.model").read_bytes() if VECTORS else b""


@given(st.data())
def test_a_flipped_bit_or_a_cut_is_found(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(VECTOR) - 1))
    flipped = bytearray(VECTOR)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(flipped), VECTOR[:place], VECTOR + b"\0"):
        with pytest.raises(ModelCorrupt):
            stored.load(damaged)


LIKELY = [*(struct.pack("<i", n) for n in (-1, 0, 1, 9, 2**31 - 1, -(2**31))), b"\xff" * 8, bytes(8)]
LIKELY += [struct.pack("<d", x) for x in (float("nan"), float("inf"), -float("inf"), 1e300, -1.0)]


@given(st.sampled_from(VECTORS or ["none"]), st.data())
@settings(max_examples=600)
def test_a_forged_file_is_refused_or_does_no_harm(name: str, data: st.DataObject) -> None:
    """Kernels do not look where an index points: this test would end the process."""
    file = (FOLDER / f"{name}.model").read_bytes()
    start = PREAMBLE.size + PREAMBLE.unpack_from(file)[2]
    start += -start % 64
    body = bytearray(file[start:-DIGEST])
    for _ in range(data.draw(st.integers(1, 4))):
        place = 4 * data.draw(st.integers(0, len(body) // 4 - 2))
        value = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from(LIKELY))
        body[place : place + len(value)] = value
    forged = resealed(file, body=bytes(body))
    try:
        found = stored.load(forged)
    except ModelCorrupt:
        return
    with np.errstate(all="ignore"), suppress(ArithmeticError):
        found.contributions(found.score(asked())[1])


SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 8, 64, 2**31, 2**62, -1]), max_size=4)


@given(st.sampled_from(VECTORS or ["none"]), st.data())
@settings(max_examples=150)
def test_a_forged_header_is_refused_or_does_no_harm(name: str, data: st.DataObject) -> None:
    file = (FOLDER / f"{name}.model").read_bytes()
    header = header_of(file)
    junk: st.SearchStrategy[Any] = (
        st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just([]) | st.just({})
    )
    if data.draw(st.booleans()):
        header["arrays"][data.draw(st.integers(0, len(header["arrays"]) - 1))]["shape"] = data.draw(SHAPES)
    elif data.draw(st.booleans()):
        field = data.draw(st.sampled_from(sorted(header["state"])))
        header["state"][field] = data.draw(junk | st.just({"array": 0}) | st.just({"pickle": 0}))
    else:
        place = header["columns"][data.draw(st.integers(0, len(header["columns"]) - 1))]
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(junk)
    try:
        found = stored.load(resealed(file, header))
    except PynomalyError:
        return
    with np.errstate(all="ignore"), suppress(ArithmeticError, PynomalyError):  # such as a column that is not there
        found.contributions(found.score(asked())[1])


@pytest.mark.parametrize(
    "data", [b"", b"PYNOMODL", bytes(48), b"PYNOMODL" + bytes(40), pickle.dumps({}), b"PYNOMODL" + b"\xff" * 80]
)
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(ModelCorrupt):
        stored.load(data)


def test_deep_nesting_and_long_numbers_are_damage() -> None:
    data = stored.dump(plain("zscore"))
    for state in ('{"mean":' * 100_000, "[" * 100_000, "9" * 100_000):
        header = b'{"release":"0.1.0","state":' + state.encode()
        out = PREAMBLE.pack(data[:8], 1, len(header)) + header
        with pytest.raises(ModelCorrupt):
            stored.load(out + hashlib.sha256(out).digest())


def test_a_newer_file_is_told_from_a_damaged_one() -> None:
    data = stored.dump(plain("zscore"))
    later = bytearray(data[:-DIGEST])
    later[8] = 2
    with pytest.raises(ModelNewer, match=r"format 2.*upgrade"):
        stored.load(bytes(later) + hashlib.sha256(later).digest())
    changes: list[dict[str, Any]] = [{"novelty": 1}, {"algorithms": ["from_the_future"]}, {"state": {"novelty": 1}}]
    for change in changes:
        with pytest.raises(ModelNewer, match=r"99\.0\.0.*upgrade"):
            stored.load(resealed(data, {**change, "release": "99.0.0"}))
        with pytest.raises(PynomalyError) as error:
            stored.load(resealed(data, change))
        assert error.value.code in {"model_corrupt", "unknown_algorithm"}


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "ran")


def test_a_hostile_file_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's file that looks like a wrapped model, unsigned, signed by a stranger, or changed after signing."""
    mark = tmp_path / "mark"
    honest = plain(WRAPPED)
    hostile = msgspec.structs.replace(
        honest,
        state=msgspec.structs.replace(honest.state, detector=Bomb(mark)),  # type: ignore[type-var]
    )
    monkeypatch.setenv(signing.VARIABLE, "the key of a stranger")
    signed = stored.dump(hostile)
    fingerprint = header_of(signed)["key"]
    monkeypatch.setenv(signing.VARIABLE, KEY)
    mine = signing.key_to_sign().fingerprint
    unsigned = resealed(signed, {"key": None})
    as_native = resealed(signed, {"key": None, "algorithms": ["zscore"]})
    files = [signed, unsigned, as_native, resealed(signed, {"key": mine}), resealed(signed, {"key": fingerprint})]
    for data in files:
        with pytest.raises((ModelUntrusted, ModelCorrupt)):
            stored.load(data)
        assert not mark.exists()
    native = stored.dump(plain("zscore"))
    for field in ("mean", "spread"):
        state = {**header_of(native)["state"], field: {"pickle": 0}}
        with pytest.raises(ModelCorrupt):
            stored.load(resealed(native, {"state": state}))
    monkeypatch.setenv(signing.VARIABLE, "the key of a stranger")
    stored.load(signed)
    assert mark.exists(), "with the key of who made it, it would have run"


def test_a_signed_model_needs_the_key_that_signed_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = stored.dump(plain(WRAPPED))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv(signing.VARIABLE, "another key, just as long")
    with pytest.raises(ModelUntrusted, match="here is key"):
        stored.load(data)
    monkeypatch.delenv(signing.VARIABLE)
    with pytest.raises(ModelUntrusted, match="there is none here"):
        stored.load(data)
    assert not (tmp_path / "pynomaly").exists(), "reading makes no key"


def test_the_key_is_made_once_and_for_its_owner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(signing.VARIABLE)
    data = stored.dump(plain(WRAPPED))
    file = tmp_path / "pynomaly" / signing.FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [signing.FILE_NAME]
    stored.load(data)
    assert header_of(stored.dump(plain(WRAPPED)))["key"] == header_of(data)["key"]
    file.chmod(0o644)
    with pytest.raises(ModelKeyUnavailable, match="chmod 600"):
        stored.load(data)


def test_a_key_that_cannot_be_kept_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(signing.VARIABLE)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))  # as in a home that is read-only, also for root
    with pytest.raises(ModelKeyUnavailable, match=signing.VARIABLE):
        stored.dump(plain(WRAPPED))
    stored.load(stored.dump(plain("zscore")))
    monkeypatch.setenv(signing.VARIABLE, "short")
    with pytest.raises(ModelKeyUnavailable, match="16 characters"):
        stored.dump(plain(WRAPPED))


def test_another_major_version_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = stored.dump(plain("pyod_knn"))
    assert {"pyod", "scikit-learn"} <= header_of(data)["libraries"].keys()
    monkeypatch.setattr(models, "_installed", lambda name: "99.0" if name == "scikit-learn" else "3.6.1")
    with pytest.raises(LibraryChanged, match=r"scikit-learn .* here is 99"):
        stored.load(data)


def test_a_state_of_unknown_class_is_signed() -> None:
    """As a plugin's, whose `fit` may say nothing of what it returns."""
    before = plain("zscore")
    untold = msgspec.structs.replace(before.algorithm, fit=lambda X, params, seed: before.state)
    data = stored.dump(msgspec.structs.replace(before, algorithm=untold))
    assert header_of(data)["key"]
    assert "pickle" in header_of(data)["state"]


def test_the_digest_is_that_of_any_tool() -> None:
    data = stored.dump(plain("zscore"))
    assert stored.digest(data) == hashlib.sha256(data).hexdigest()
    assert data[-DIGEST:] == hashlib.sha256(data[:-DIGEST]).digest()
    assert os.fsencode("PYNOMODL") == data[:8]
