"""A tree of balls over weighted rows: sums of normal kernels to a relative tolerance, and the nearest rows.

Rows lie in leaves of `FAN`; a ball holds the rows of a leaf, or of `FAN` balls of the level below. Balls whose rows can
add next to nothing are left out. In one column those that are small beside the width are summed by a series around
their centre (Yang, Duraiswami & Gumerov 2003); in more it would have more terms than a leaf has rows.
A row is compared in a loop of its own, so that its sum has the same bits in any batch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.kernels import kernel
from pynomaly.kernels.order import lexicographic

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

FAN = 64  # rows of a leaf and balls of a block, compared together
LEVELS = 8  # more than any tree has: it has 64 ** levels rows and more
FAR = 1e300  # above any squared distance
TINY = 1e-300
NIL = 44.0  # exp(-44) is nothing beside 1
TOLERANCE = 1e-6  # of a sum of kernels
DEGREE = 12  # terms of a series


class BallTree(NamedTuple):
    """Leaves of rows, and over them balls in blocks of `FAN`, level after level up to one block.

    Ball t of a level holds the rows of block t of the level below, so that no pointers are kept. The last block of a
    level is filled up with copies of its last row or ball, which count 0.
    """

    rows: Floats  # [n_leaves, d, FAN]
    copies: Floats  # [n_leaves, FAN], how many rows have these values
    center: Floats  # [n_blocks, d, FAN]
    radius: Floats  # [n_blocks, FAN]; -1 for a filling
    terms: Floats  # [n_blocks, n_terms, FAN], coefficients of the series in one column, none in more
    starts: Integers  # [n_levels + 1], first block of each level of balls
    scale: float  # a kernel is exp(-scale * squared distance)


def _distinct(Z: Floats) -> tuple[Floats, Floats]:
    """The distinct rows in lexicographic order, and how many copies there are of each."""
    ordered = Z[lexicographic(Z)]
    first = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[first], np.diff(first, append=len(Z)).astype(np.float64)


def _arranged(Z: Floats) -> Integers:
    """The rows leaf after leaf, by halving at multiples of whole subtrees. O(n (d + log n) log n)."""
    places = np.arange(len(Z))
    pending = [(0, -(-len(Z) // FAN))]
    while pending:
        workers.check()
        first, end = pending.pop()
        unit = 1
        while unit * FAN < end - first:
            unit *= FAN
        middle = first + -(-(end - first) // unit) // 2 * unit
        if middle == first:
            continue
        here = places[first * FAN : end * FAN]
        values = Z[here]
        longest = int(np.argmax(values.max(axis=0) - values.min(axis=0)))
        here[:] = here[np.argpartition(values[:, longest], (middle - first) * FAN)]
        pending += [(first, middle), (middle, end)]
    return places


def _in_blocks(items: Floats) -> Floats:
    """[n, ...] as [n_blocks, ..., FAN], filled up with the last item."""
    full = np.pad(items, [(0, -len(items) % FAN)] + [(0, 0)] * (items.ndim - 1), mode="edge")
    return np.ascontiguousarray(np.moveaxis(full.reshape(-1, FAN, *items.shape[1:]), 1, -1))


def _balls(blocks: Floats, radius: Floats) -> tuple[Floats, Floats]:
    """Centre and radius of a ball around each block."""
    low, high = blocks.min(axis=2), blocks.max(axis=2)
    center = np.clip(blocks.mean(axis=2), low, high)  # the mean of equal values can be off by a rounding
    away = np.sqrt(np.square(blocks - center[:, :, np.newaxis]).sum(axis=1))
    return center, (away + radius).max(axis=1) * (1.0 + 1e-9)


def build(Z: Floats, scale: float) -> BallTree:
    """The tree of some rows, for kernels of one width."""
    distinct, copies = _distinct(Z)
    places = _arranged(distinct)
    distinct, copies = distinct[places], copies[places]
    rows, count = _in_blocks(distinct), _in_blocks(copies)
    count.reshape(-1)[len(copies) :] = 0.0
    centers, radii, starts = [np.empty((0, Z.shape[1], FAN))], [np.empty((0, FAN))], [0]
    center, radius = rows, np.zeros(count.shape)
    while len(center) > 1:
        balls, reach = _balls(center, radius)
        center, radius = _in_blocks(balls), _in_blocks(reach)
        centers.append(center)
        radii.append(np.where(np.arange(radius.size) < len(balls), radius.ravel(), -1.0).reshape(-1, FAN))
        starts.append(starts[-1] + len(center))
    terms = np.zeros((starts[-1], DEGREE if Z.shape[1] == 1 else 0, FAN))
    tree = BallTree(rows, count, np.concatenate(centers), np.concatenate(radii), terms, np.array(starts), scale)
    for level in range(1, len(starts) if terms.size else 0):
        _fill_terms(tree, distinct, copies, starts[level - 1], FAN**level)
    return tree


def check(tree: BallTree, d: int) -> None:
    """Raise ModelCorrupt unless sums and searches stay within the tree."""
    n = layout.shapes(tree, d, rows="l d 64", copies="l 64", center="c d 64", radius="c 64", terms="c p 64", starts="v")
    levels = layout.levels(n["l"], FAN, False)
    fits = n["l"] and n["p"] == (DEGREE if d == 1 else 0) and len(levels) < LEVELS
    layout.require(fits and tree.starts.tolist() == [0, *np.cumsum(levels)], "a tree has another form")
    layout.require(n["c"] == sum(levels), "a tree has another form")
    layout.finite(tree.center, "ball_center")
    for start, end, below in zip(tree.starts[:-1], tree.starts[1:], [n["l"], *levels], strict=False):
        radius, last = tree.radius[start:end].ravel(), (below - 1) % FAN
        fillings = tree.center[end - 1, :, last:]
        is_filled = (radius[:below] >= 0.0).all() and (radius[below:] == -1.0).all()
        layout.require(is_filled and (fillings == fillings[:, :1]).all(), "a filling counts")


@kernel
def _fill_terms(tree: BallTree, rows: Floats, copies: Floats, start: int, size: int) -> None:
    """Add up exp(-scale * u ** 2) u ** p / p! over the rows of each ball of a level, u their place in it in radii."""
    for i in range(rows.shape[0]):
        b, s = start + i // size // FAN, i // size % FAN
        away = rows[i, 0] - tree.center[b, 0, s]
        term = copies[i] * np.exp(-away * away * tree.scale)
        for p in range(DEGREE):
            tree.terms[b, p, s] += term
            term *= away / max(tree.radius[b, s], TINY) / (p + 1.0)


@kernel
def _decay(t: float) -> float:
    """exp(-t), t >= 0, and 0 beyond `NIL`: a series of exp(-t / 1024) squared, vectorised, unlike a library's."""
    x = min(t, NIL) * (-1.0 / 1024.0)
    x2 = x * x
    y = (1.0 + x) + x2 * ((1.0 / 2.0 + x * (1.0 / 6.0)) + x2 * ((1.0 / 24.0 + x * (1.0 / 120.0)) + x2 * (1.0 / 720.0)))
    y2 = y * y
    y4 = y2 * y2
    y8 = y4 * y4
    y16 = y8 * y8
    y32 = y16 * y16
    y64 = y32 * y32
    y128 = y64 * y64
    y256 = y128 * y128
    y512 = y256 * y256
    return y512 * y512 if t < NIL else 0.0


@kernel
def _fill_squares(blocks: Floats, b: int, q: Floats, out: Floats) -> None:
    """Squared distances from q to a block's items; four columns a turn, added one after the other."""
    whole = q.size - q.size % 4
    for s in range(FAN):
        out[s] = 0.0
    for j in range(0, whole, 4):
        q0, q1, q2, q3 = q[j], q[j + 1], q[j + 2], q[j + 3]
        for s in range(FAN):
            a0, a1 = blocks[b, j, s] - q0, blocks[b, j + 1, s] - q1
            a2, a3 = blocks[b, j + 2, s] - q2, blocks[b, j + 3, s] - q3
            out[s] = (((out[s] + a0 * a0) + a1 * a1) + a2 * a2) + a3 * a3
    for j in range(whole, q.size):
        q0 = q[j]
        for s in range(FAN):
            a0 = blocks[b, j, s] - q0
            out[s] += a0 * a0


@kernel
def _least(values: Floats, halves: Floats) -> float:
    """The least of `FAN` values, in halves so that it is vectorised."""
    for s in range(FAN // 2):
        halves[s] = values[s] if values[s] < values[s + FAN // 2] else values[s + FAN // 2]
    for s in range(FAN // 4):
        halves[s] = halves[s] if halves[s] < halves[s + FAN // 4] else halves[s + FAN // 4]
    least: float = halves[0]
    for s in range(1, FAN // 4):
        least = halves[s] if halves[s] < least else least
    return least


@kernel
def _total(values: Floats) -> float:
    """The sum of `FAN` values, in halves so that it is vectorised; overwrites them."""
    for s in range(FAN // 2):
        values[s] += values[s + FAN // 2]
    for s in range(FAN // 4):
        values[s] += values[s + FAN // 4]
    total = 0.0
    for s in range(0, FAN // 4, 4):
        total += (values[s] + values[s + 1]) + (values[s + 2] + values[s + 3])
    return total


@kernel
def _leave_one_out(squares: Floats, copies: Floats) -> float:
    """Take the first row at distance 0 out of a leaf; where it has copies, return 1 instead, to be subtracted."""
    place = -1
    for s in range(FAN):
        if copies[s] == 0.0:
            squares[s] = FAR
        elif squares[s] == 0.0 and place < 0:
            place = s
    if copies[place] > 1.0:
        return 1.0
    squares[place] = FAR
    return 0.0


@kernel
def _add_leaf(tree: BallTree, leaf: int, q: Floats, own: bool, share: float, found: Floats, work: Floats) -> None:
    """Add the kernels of a leaf's rows; once, one row of the values of an own row is left out."""
    squares, kernels = work[0], work[1]
    _fill_squares(tree.rows, leaf, q, squares)
    least, left_out = _least(squares, kernels), 0.0
    if own and least == 0.0 and found[3] == 0.0:
        found[3] = 1.0
        left_out = _leave_one_out(squares, tree.copies[leaf])
        least = _least(squares, kernels)
    if least < found[0]:
        smaller = _decay((found[0] - least) * tree.scale)
        found[0], found[1], found[2] = least, found[1] * smaller, found[2] * smaller
    elif least == FAR or _decay((least - found[0]) * tree.scale) <= share * max(found[1], found[2]):
        return
    for s in range(FAN):
        kernels[s] = tree.copies[leaf, s] * _decay((squares[s] - found[0]) * tree.scale)
    found[1] += _total(kernels)
    found[1] -= left_out


@kernel
def _add_series(tree: BallTree, b: int, q: float, share: float, found: Floats, work: Floats) -> None:
    """Add the kernels of those balls of a block, in one column, whose series is close enough; they get the gap -1.

    Of p terms in z, twice the product of distance and radius, the error is at most z ** p / p! of a ball's largest.
    """
    gaps, kernels, series = work[0], work[1], work[2]
    for s in range(FAN):
        away = q - tree.center[b, 0, s]
        z = away * tree.radius[b, s] * (2.0 * tree.scale)
        series[s], error = 0.0, 1.0
        for p in range(DEGREE - 1, -1, -1):
            series[s] = series[s] * z + tree.terms[b, p, s]
            error *= abs(z) / (p + 1.0)
        is_far = (gaps[s] > 0.0) & (gaps[s] >= found[0])
        is_close = is_far & (error * _decay((gaps[s] - found[0]) * tree.scale) <= share * max(found[1], found[2]))
        kernels[s] = _decay((away * away - found[0]) * tree.scale) * series[s] if is_close else 0.0
        gaps[s] = -1.0 if is_close else gaps[s]
    found[1] += _total(kernels)


@kernel
def _fill_gaps(tree: BallTree, b: int, q: Floats, out: Floats) -> None:
    """Fill the squared distances from q to the surfaces of a block's balls; 0 inside, -1 for a filling."""
    _fill_squares(tree.center, b, q, out)
    for s in range(FAN):
        gap = max(np.sqrt(out[s]) - tree.radius[b, s], 0.0)
        out[s] = gap * gap if tree.radius[b, s] >= 0.0 else -1.0


@kernel
def _push(gaps: Floats, first: int, level: int, stack: Integers, bound: Floats, top: int) -> int:
    """Stack the blocks whose gap is not -1, the nearest last; return the new height of the stack."""
    nearest = top
    for s in range(FAN):
        if gaps[s] >= 0.0:
            stack[top], bound[top] = (first + s) * LEVELS + level, gaps[s]
            nearest = top if gaps[s] < bound[nearest] else nearest
            top += 1
    if top > nearest:
        stack[nearest], stack[top - 1] = stack[top - 1], stack[nearest]
        bound[nearest], bound[top - 1] = bound[top - 1], bound[nearest]
    return top


@kernel
def _leaf_at_sight(tree: BallTree, q: Floats, squares: Floats) -> int:
    """The leaf that is reached by the ball with the nearest centre on each level."""
    at = 0
    for level in range(tree.starts.size - 2, -1, -1):
        _fill_squares(tree.center, tree.starts[level] + at, q, squares)
        nearest = 0
        for s in range(1, FAN):
            nearest = s if squares[s] < squares[nearest] else nearest
        at = at * FAN + nearest
    return at


@kernel
def _sum(
    tree: BallTree, q: Floats, own: bool, share: float, stack: Integers, bound: Floats, work: Floats, found: Floats
) -> None:
    """Find the least squared distance, the sum of kernels in units of its own, a floor of it, and the rows left out.

    `share` is the error that each row may add, as a share of the sum, for which the leaf nearest at sight gives a
    floor. `stack` holds place in the level * LEVELS + level, level 0 being the leaves.
    """
    found[0], found[1], found[2], found[3] = FAR, 0.0, 0.0, 0.0
    stack[0], bound[0] = tree.starts.size - 1, 0.0
    stack[1], bound[1] = _leaf_at_sight(tree, q, work[0]) * LEVELS, 0.0
    top, is_first = 2, True
    while top > 0:
        top -= 1
        at, level = stack[top] // LEVELS, stack[top] % LEVELS
        if bound[top] > found[0] and _decay((bound[top] - found[0]) * tree.scale) <= share * max(found[1], found[2]):
            continue
        if level == 0:
            _add_leaf(tree, at, q, own, share, found, work)
            if is_first:
                found[1], found[2], found[3], is_first = 0.0, found[1], 0.0, False
        else:
            b = tree.starts[level - 1] + at
            _fill_gaps(tree, b, q, work[0])
            if q.size == 1:
                _add_series(tree, b, q[0], share, found, work)
            top = _push(work[0], at * FAN, level - 1, stack, bound, top)


@kernel
def fill_log_sums(tree: BallTree, Q: Floats, own: Flags, n_rows: float, out: Floats) -> None:
    """Fill minus the logarithm of the mean kernel of the n rows at each row of Q, by `TOLERANCE`.

    One that is flagged `own` leaves one row of its values out.
    """
    stack, bound = np.empty(LEVELS * FAN, np.int64), np.empty(LEVELS * FAN)
    work, found = np.empty((3, FAN)), np.empty(4)
    for i in range(Q.shape[0]):
        _sum(tree, Q[i], own[i] and n_rows > 1.0, TOLERANCE / n_rows, stack, bound, work, found)
        out[i] = (found[0] * tree.scale - np.log(found[1])) + np.log(n_rows - found[3])


@kernel
def _insert(nearest: Integers, squares: Floats, square: float, slot: int) -> None:
    """Put a slot in its place among the nearest; the farthest drops out."""
    at = nearest.size - 1
    while at > 0 and squares[at - 1] > square:
        nearest[at], squares[at] = nearest[at - 1], squares[at - 1]
        at -= 1
    nearest[at], squares[at] = slot, square


@kernel
def _fill_nearest(
    tree: BallTree, q: Floats, stack: Integers, bound: Floats, work: Floats, nearest: Integers, squares: Floats
) -> None:
    """Fill the slots of the nearest rows of other values than q's, -1 where there are too few."""
    nearest.fill(-1)
    squares.fill(FAR)
    stack[0], bound[0] = tree.starts.size - 1, 0.0
    top, away = 1, work[0]
    while top > 0:
        top -= 1
        at, level = stack[top] // LEVELS, stack[top] % LEVELS
        if bound[top] >= squares[-1]:
            continue
        if level == 0:
            _fill_squares(tree.rows, at, q, away)
            for s in range(FAN):
                if 0.0 < away[s] < squares[-1] and tree.copies[at, s] > 0.0:
                    _insert(nearest, squares, away[s], at * FAN + s)
        else:
            _fill_gaps(tree, tree.starts[level - 1] + at, q, away)
            top = _push(away, at * FAN, level - 1, stack, bound, top)


@kernel
def fill_shares(tree: BallTree, Q: Floats, k: int, out: Floats) -> None:
    """Fill, by column, the mean squared distance to the k nearest distinct rows of other values, in kernel widths."""
    stack, bound = np.empty(LEVELS * FAN, np.int64), np.empty(LEVELS * FAN)
    work, nearest, squares = np.empty((1, FAN)), np.empty(k, np.int64), np.empty(k)
    out.fill(0.0)
    for i in range(Q.shape[0]):
        _fill_nearest(tree, Q[i], stack, bound, work, nearest, squares)
        used = 0
        while used < k and nearest[used] >= 0:
            leaf, s = nearest[used] // FAN, nearest[used] % FAN
            for j in range(Q.shape[1]):
                out[i, j] += (Q[i, j] - tree.rows[leaf, j, s]) ** 2 * tree.scale
            used += 1
        for j in range(Q.shape[1]):
            out[i, j] /= max(used, 1)
