"""Sixteen squared distances at once: vector instructions that the compiler does not find by itself.

Numba vectorises a loop over the rows of a leaf only behind a check that its arrays do not overlap, which takes longer
than the loop. Here the sums stay in registers, and what comes back is which of the sixteen are near.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
SINGLE = ir.FloatType()
VECTOR = ir.VectorType(SINGLE, LANES)


def _splat(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    start = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(start, start, mask)


def _load(builder: Any, data: Any, at: Any) -> Any:
    """The vector that begins at an element of single numbers."""
    loaded = builder.load(builder.bitcast(builder.gep(data, [at]), VECTOR.as_pointer()))
    loaded.align = 4
    return loaded


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _sum_of_squares(context: Any, builder: Any, signature: Any, args: Any, away: Callable[[Any, Any], Any]) -> Any:
    """Add up the squares of what `away` gives for each column, store the sums, and return which do not exceed reach.

    The last four arguments are the block, the row, the reach and where the sums go.
    """
    block, q, reach, out = args[-4:]
    types_ = signature.args[-3], signature.args[-1]
    row, sums = (
        context.make_array(kind)(context, builder, value) for kind, value in zip(types_, (q, out), strict=True)
    )
    d = cgutils.unpack_tuple(builder, row.shape)[0]
    size = ir.IntType(64)
    start = builder.mul(builder.mul(block, d), ir.Constant(size, LANES))
    total = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
    with cgutils.for_range(builder, d) as loop:
        value = _splat(builder, builder.load(builder.gep(row.data, [loop.index])))
        at = builder.add(start, builder.mul(loop.index, ir.Constant(size, LANES)))
        far = away(at, value)
        square = builder.fmul(far, far, flags=("contract",))
        builder.store(builder.fadd(builder.load(total), square, flags=("contract",)), total)
    found = builder.load(total)
    stored = builder.store(found, builder.bitcast(sums.data, VECTOR.as_pointer()))
    stored.align = 4
    near = builder.fcmp_ordered("<=", found, _splat(builder, reach))
    return builder.zext(builder.bitcast(near, ir.IntType(LANES)), size)


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


@intrinsic  # type: ignore[untyped-decorator]
def near_rows(_typing: Any, rows: Any, _block: Any, q: Any, _reach: Any, out: Any) -> Any:
    """(float32[n, d, 16], block, float32[d], reach, float32[16]): which rows of a block lie within reach of q, as bits.

    Fills the squared distances.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature.args[0], args[0])
        return _sum_of_squares(
            context, builder, signature, args, lambda at, value: builder.fsub(_load(builder, data, at), value)
        )

    return types.int64(rows, types.int64, q, types.float32, out), generate


@intrinsic  # type: ignore[untyped-decorator]
def near_boxes(_typing: Any, low: Any, high: Any, _block: Any, q: Any, _reach: Any, out: Any) -> Any:
    """(float32[n, d, 16] twice, block, float32[d], reach, float32[16]): which boxes lie within reach of q, as bits.

    Fills the squared distances, 0 inside a box.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lows, highs = (_data(context, builder, signature.args[c], args[c]) for c in (0, 1))
        nothing = ir.Constant(VECTOR, [0.0] * LANES)

        def away(at: Any, value: Any) -> Any:
            below = builder.fsub(_load(builder, lows, at), value)
            above = builder.fsub(value, _load(builder, highs, at))
            return _larger(builder, _larger(builder, below, above), nothing)

        return _sum_of_squares(context, builder, signature, args, away)

    return types.int64(low, high, types.int64, q, types.float32, out), generate
