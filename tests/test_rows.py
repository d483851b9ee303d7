"""The hash of a row: equal values hash equally, and nothing else does."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pynomaly.algorithm import Floats
from pynomaly.known import known_rows
from pynomaly.rows import hash_rows

WORD = 2**64 - 1

matrices = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats())


def _mixed(bits: int) -> int:
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & WORD
    return bits ^ (bits >> 31)


def naive_hash(row: Floats, seed: int) -> int:
    mixed = _mixed((seed + 0x9E3779B97F4A7C15) & WORD)
    for value in row:
        value = np.float64("nan") if np.isnan(value) else value + 0.0
        mixed = _mixed(((mixed ^ int(value.view(np.uint64))) + 0x9E3779B97F4A7C15) & WORD)
    return mixed


@settings(deadline=None, max_examples=50)
@given(X=matrices, seed=st.integers(0, 2**62))
def test_equals_the_naive_version(X: Floats, seed: int) -> None:
    assert hash_rows(X, seed).tolist() == [naive_hash(row, seed) for row in X]


def test_zeros_and_gaps_have_one_hash() -> None:
    negative_nan = np.copysign(np.nan, -1.0)
    hashes = hash_rows(np.array([[0.0, np.nan], [-0.0, negative_nan], [0.0, 1.0]]), 0)
    assert hashes[0] == hashes[1] != hashes[2]


def test_memory_layout_does_not_matter() -> None:
    X = np.random.default_rng(0).normal(size=(20, 6))
    expected = hash_rows(X[::2, ::3].copy(), 7)
    assert np.array_equal(hash_rows(X[::2, ::3], 7), expected)
    assert np.array_equal(hash_rows(np.asfortranarray(X[::2, ::3]), 7), expected)


def test_columns_count_by_position_and_seeds_change_the_order() -> None:
    X = np.arange(2000.0).reshape(1000, 2)
    forward, backward, reseeded = hash_rows(X, 0), hash_rows(X[:, ::-1], 0), hash_rows(X, 1)
    assert not np.isin(forward, backward).any()
    assert not np.array_equal(np.argsort(forward), np.argsort(reseeded))


def test_small_integers_are_well_mixed() -> None:
    """Every bit is set in half of the hashes of neighbouring values, and none collide."""
    hashes = hash_rows(np.arange(20_000.0)[:, None], 0)
    bits = np.unpackbits(hashes.view(np.uint8)).reshape(-1, 64)
    assert len(np.unique(hashes)) == len(hashes)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02


def test_a_table_without_rows() -> None:
    assert hash_rows(np.empty((0, 3)), 0).shape == (0,)


@given(matrices, st.integers(0, 2**61))
def test_a_known_row_has_its_score_and_no_other_has_one(X: Floats, seed: int) -> None:
    hashes = hash_rows(X, seed)
    order = np.argsort(hashes)
    known = known_rows(hashes[order], np.arange(float(len(X)))[order])
    scores, found, missing = known.look_up(hashes)
    assert found.all()
    assert missing == 0
    assert (hashes[scores.astype(int)] == hashes).all()
    others = hashes ^ np.uint64(1 << 63 | 1)
    _, found, missing = known.look_up(others)
    assert (found == np.isin(others, hashes)).all()
    assert missing == np.count_nonzero(~found)
