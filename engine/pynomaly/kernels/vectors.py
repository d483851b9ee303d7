"""Squared distances from a row to sixteen rows or boxes at once, in single precision, and which are within a limit.

Vector instructions that the compiler does not find by itself: numba vectorises a loop over the rows of a leaf only
behind a check that its arrays do not overlap, which takes longer than the loop. Sums are rounded differently from
machine to machine, so that whoever uses them allows for rounding, and takes his answer from the float64 rows.
"""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from pynomaly.kernels import Function

Singles = NDArray[np.float32]

LANES = 16
STRIDE = 32  # columns between two looks at whether any lane is still within the limit

_INTEGER = ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_ZEROS = ir.Constant(_VECTOR, None)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_FUSED = ("contract",)  # a product and a sum may become one instruction


def borrowing(function: Function) -> Function:
    """Compile a function for kernels alone that makes and keeps no arrays: it counts no references to them.

    Counting takes longer than comparing a leaf, and longer still where threads share the counts.
    """
    return cast(Function, numba.njit(nogil=True, no_cpython_wrapper=True, forceinline=True, _nrt=False)(function))


def _every_lane(builder: Any, number: Any) -> Any:
    """A vector of one number."""
    first = builder.insert_element(_UNDEFINED, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, _UNDEFINED, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _block(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """A pointer to one block of [n_blocks, columns, LANES]."""
    array = context.make_array(kind)(context, builder, array)
    columns = cgutils.unpack_tuple(builder, array.shape, 3)[1]
    return builder.gep(array.data, [builder.mul(builder.mul(at, columns), _INTEGER(LANES))])


def _lanes(builder: Any, block: Any, column: Any) -> Any:
    """The vector of one column of a block."""
    place = builder.gep(block, [builder.mul(column, _INTEGER(LANES))])
    return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=4)


def _from_rows(builder: Any, q: Any, row: Any) -> Any:
    """How far the rows lie from q in one column."""
    return builder.fsub(row, q)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    """The larger of two vectors by lane; a where one is NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b), b, a)


def _from_boxes(builder: Any, q: Any, low: Any, high: Any) -> Any:
    """How far the boxes lie from q in one column; NaN where a box is."""
    return _larger(builder, _larger(builder, builder.fsub(low, q), builder.fsub(q, high)), _ZEROS)


def _summing(n_arrays: int, away: Callable[..., Any]) -> Callable[..., Any]:
    """The code of `row_squares` and `box_squares`: two columns a turn, so that sums wait less for one another."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, (at, first, end, q, limit, out) = signature.args, args[n_arrays:]
        blocks = [_block(context, builder, kinds[i], args[i], at) for i in range(n_arrays)]
        q, out = (context.make_array(kinds[-1])(context, builder, array).data for array in (q, out))
        out = builder.bitcast(out, _VECTOR.as_pointer())
        before = builder.select(builder.icmp_signed("==", first, _INTEGER(0)), _ZEROS, builder.load(out, align=4))
        sums = [cgutils.alloca_once_value(builder, start) for start in (before, _ZEROS)]
        with cgutils.for_range_slice(builder, first, end, _INTEGER(2), inc=True) as (column, _):
            for i, total in enumerate(sums):
                j = builder.add(column, _INTEGER(i))
                point = _every_lane(builder, builder.load(builder.gep(q, [j])))
                a = away(builder, point, *(_lanes(builder, block, j) for block in blocks))
                builder.store(builder.fadd(builder.load(total), builder.fmul(a, a, flags=_FUSED), flags=_FUSED), total)
        squares = builder.fadd(*map(builder.load, sums))
        builder.store(squares, out, align=4)
        within = builder.fcmp_ordered("<=", squares, _every_lane(builder, limit))
        return builder.zext(builder.bitcast(within, ir.IntType(LANES)), _INTEGER)

    return generate


@intrinsic  # type: ignore[untyped-decorator]
def _row_squares(_typing: Any, rows: Any, _at: Any, _first: Any, _end: Any, q: Any, _limit: Any, out: Any) -> Any:
    """Add the squares in columns `first` to `end` to `out`, which begins at 0; bits of the rows within the limit."""
    numbers = types.int64, types.int64, types.int64
    return types.int64(rows, *numbers, q, types.float32, out), _summing(1, _from_rows)


@intrinsic  # type: ignore[untyped-decorator]
def _box_squares(_typing: Any, low: Any, high: Any, _at: Any, _first: Any, _end: Any, q: Any, _: Any, out: Any) -> Any:
    """Add the squares in columns `first` to `end` to `out`, which begins at 0; bits of the boxes within the limit."""
    numbers = types.int64, types.int64, types.int64
    return types.int64(low, high, *numbers, q, types.float32, out), _summing(2, _from_boxes)


@borrowing
def rows_within(rows: Singles, at: int, q: Singles, limit: np.float32, out: Singles) -> int:
    """The rows of a block whose squared distance to q does not exceed the limit, as bits; never one that holds NaN.

    Blocks and q have an even number of columns. `out` is filled with the squares, unfinished where there are no bits.
    """
    end = STRIDE
    bits: int = _row_squares(rows, at, 0, min(end, q.size), q, limit, out)
    while bits != 0 and end < q.size:
        bits = _row_squares(rows, at, end, min(end + STRIDE, q.size), q, limit, out)
        end += STRIDE
    return bits


@borrowing
def boxes_within(low: Singles, high: Singles, at: int, q: Singles, limit: np.float32, out: Singles) -> int:
    """The boxes of a block, by their corners, that reach within the limit; as `rows_within`."""
    end = STRIDE
    bits: int = _box_squares(low, high, at, 0, min(end, q.size), q, limit, out)
    while bits != 0 and end < q.size:
        bits = _box_squares(low, high, at, end, min(end + STRIDE, q.size), q, limit, out)
        end += STRIDE
    return bits
