"""Gaussian mixture: an anomaly is improbable under all of the groups that make up the rows (Dempster et al. 1977)."""

import math
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel
from pynomaly.kernels import neighbors as nb

Indices = NDArray[np.int64]

MOST_ROWS = 65_536  # rows that the groups are fitted on
START_ROWS = 10_000  # rows that the first means are drawn from
MOST_PRODUCTS = 3e8  # products of cells that a turn of the fit may take: fewer rows where there are many columns
MOST_FOR_A_ROW = 150_000  # products of cells that a row may take: beyond them, columns count as independent
ROWS_A_COLUMN = 2  # with no more rows than this times the columns, columns count as independent too
MOST_TURNS = 100
SMALL_GAIN = 1e-4  # of the mean log-likelihood by column: the fit ends
FLOOR = 1e-6  # least variance of a standardised column
LOG_TWO_PI = math.log(2.0 * math.pi)


class Mixture(NamedTuple):
    """k normal distributions. `whitening` has one column in place of d where columns are independent within each."""

    mean: Floats  # [k, d]
    whitening: Floats  # [k, d, d], upper triangles: a row's distance from the mean times this has unit covariance
    peak: Floats  # [k], log of the weight times the density at the mean


class Moments(NamedTuple):
    """Sums of weights, of weighted distances from the mean, and of their products, for each distribution."""

    weight: Floats  # [k]
    first: Floats  # [k, d]
    second: Floats  # [k, d, d], lower triangles; one column where columns are independent


class Scratch(NamedTuple):
    """What is known of one row."""

    row: Floats  # [d], standardised
    gaps: Indices  # [d], the columns that are gaps, at the front
    away: Floats  # [k, d], distance from each mean, gaps at their conditional mean
    white: Floats  # [d], the distance in units of the covariance
    share: Floats  # [k], log density of the known values, then the probability of each distribution
    volume: Floats  # [k], log determinant of the gaps' conditional precision
    inner: Floats  # [k, d, d], for the gaps: inverse of the lower Cholesky factor of that precision; or one column


@kernel
def _scratch(mixture: Mixture) -> Scratch:
    """Room for one row."""
    k, d, width = mixture.whitening.shape
    row, gaps, away, white = np.empty(d), np.empty(d, np.int64), np.empty((k, d)), np.empty(d)
    return Scratch(row, gaps, away, white, np.empty(k), np.empty(k), np.empty((k, d, width)))


@kernel
def _invert_factor(A: Floats, m: int) -> float:
    """Turn the lower triangle of a positive matrix into the inverse of its Cholesky factor; return log det A."""
    log_determinant = 0.0
    for a in range(m):
        for b in range(a + 1):
            total = A[a, b]
            for c in range(b):
                total -= A[a, c] * A[b, c]
            A[a, b] = math.sqrt(total) if a == b else total / A[b, b]
        log_determinant += 2.0 * math.log(A[a, a])
    for a in range(m):
        for b in range(a):
            total = 0.0
            for c in range(b, a):
                total -= A[a, c] * A[c, b]
            A[a, b] = total / A[a, a]
        A[a, a] = 1.0 / A[a, a]
    return log_determinant


@kernel
def _load(X: Floats, i: int, mean: Floats, spread: Floats, row: Floats, gaps: Indices) -> int:
    """Standardise row i and list its gaps; return their number. A column that the fit never saw is one."""
    count = 0
    for j in range(row.size):
        row[j] = columns.standardised(X[i, j], mean[j], spread[j])
        if X[i, j] != X[i, j] or spread[j] == np.inf:
            gaps[count] = j
            count += 1
    return count


@kernel
def _whiten(away: Floats, whitening: Floats, white: Floats) -> float:
    """Fill a distance in units of the covariance; return its square."""
    d, is_full, square = away.size, whitening.shape[1] == away.size, 0.0
    for j in range(d):
        white[j] = 0.0 if is_full else away[j] * whitening[j, 0]
    for j in range(d if is_full else 0):
        for c in range(j, d):
            white[c] += away[j] * whitening[j, c]
    for j in range(d):
        square += white[j] * white[j]
    return square


@kernel
def _product(whitening: Floats, a: int, other: Floats) -> float:
    """Row a of an upper triangle times another row."""
    total = 0.0
    for c in range(a, other.size):
        total += whitening[a, c] * other[c]
    return total


@kernel
def _fill_gaps(gaps: Indices, whitening: Floats, white: Floats, inner: Floats, away: Floats) -> tuple[float, float]:
    """Move the gaps from the mean to their conditional mean.

    Return by how much that shortens the squared distance, and the log determinant of their conditional precision.
    """
    m, shorter = gaps.size, 0.0
    for a in range(m):
        for b in range(a + 1):
            inner[a, b] = _product(whitening, gaps[a], whitening[gaps[b]])
    volume = _invert_factor(inner, m)
    for a in range(m):
        solved = 0.0
        for b in range(a + 1):
            solved += inner[a, b] * _product(whitening, gaps[b], white)
        shorter += solved * solved
        for b in range(a + 1):
            away[gaps[b]] -= inner[a, b] * solved
    return shorter, volume


@kernel
def _volume_of_independent(gaps: Indices, whitening: Floats, inner: Floats) -> float:
    """What `_fill_gaps` fills and returns where columns are independent: then a gap is at the mean."""
    volume = 0.0
    for a in range(gaps.size):
        volume += 2.0 * math.log(whitening[gaps[a], 0])
        inner[a, 0] = 1.0 / whitening[gaps[a], 0]
    return volume


@kernel
def _fill_log_density(k: int, m: int, mixture: Mixture, scratch: Scratch) -> None:
    """Fill the log of distribution k's weight and density at the known values of the row, which has m gaps."""
    away, gaps, whitening = scratch.away[k], scratch.gaps[:m], mixture.whitening[k]
    for j in range(away.size):
        away[j] = scratch.row[j] - mixture.mean[k, j]
    for a in range(m):
        away[gaps[a]] = 0.0
    square, volume = _whiten(away, whitening, scratch.white), 0.0
    if m > 0 and whitening.shape[1] < away.size:
        volume = _volume_of_independent(gaps, whitening, scratch.inner[k])
    elif m > 0:
        shorter, volume = _fill_gaps(gaps, whitening, scratch.white, scratch.inner[k], away)
        square = max(square - shorter, 0.0)
    scratch.volume[k] = volume
    scratch.share[k] = mixture.peak[k] - 0.5 * (square + volume - m * LOG_TWO_PI)


@kernel
def _log_density(m: int, mixture: Mixture, scratch: Scratch) -> float:
    """Log density of the known values of the row; fills the probability of each distribution. O(k d ** 2)."""
    share, largest, total = scratch.share, -np.inf, 0.0
    for k in range(share.size):
        _fill_log_density(k, m, mixture, scratch)
        largest = max(largest, share[k])
    for k in range(share.size):
        share[k] = math.exp(share[k] - largest)
        total += share[k]
    for k in range(share.size):
        share[k] /= total
    log_density: float = largest + math.log(total)
    return log_density


@kernel
def _add_row(k: int, m: int, scratch: Scratch, moments: Moments) -> None:
    """Add a row to the sums of distribution k, with its gaps at their conditional mean and covariance."""
    away, share, inner, second = scratch.away[k], scratch.share[k], scratch.inner[k], moments.second[k]
    is_full = second.shape[1] == away.size
    moments.weight[k] += share
    for j in range(away.size):
        part = share * away[j]
        moments.first[k, j] += part
        for c in range(j + 1 if is_full else 0):
            second[j, c] += part * away[c]
        second[j, 0] += 0.0 if is_full else part * away[j]
    for a in range(m):
        for b in range(a + 1 if is_full else 0):
            for c in range(a, m):
                second[scratch.gaps[a], scratch.gaps[b]] += share * inner[c, a] * inner[c, b]
        second[scratch.gaps[a], 0] += 0.0 if is_full else share * inner[a, 0] * inner[a, 0]


@kernel
def _expect(X: Floats, mean: Floats, spread: Floats, mixture: Mixture, moments: Moments, stop: workers.Stop) -> float:
    """Fill the sums over all rows, weighted by the distributions' probabilities; return the mean log density."""
    d, n_groups, total = X.shape[1], mixture.peak.size, 0.0
    scratch = _scratch(mixture)
    moments.weight.fill(0.0)
    moments.first.fill(0.0)
    moments.second.fill(0.0)
    for i in range(X.shape[0]):
        m = _load(X, i, mean, spread, scratch.row, scratch.gaps)
        if stop[0] != 0:
            break
        if m < d:
            total += _log_density(m, mixture, scratch)
            for k in range(n_groups):
                _add_row(k, m, scratch, moments)
    mean_log_density: float = total / X.shape[0]
    return mean_log_density


@kernel
def _maximise(moments: Moments, prior: Floats, mixture: Mixture, work: Floats) -> None:
    """Fill weights, means and covariances from the sums. `prior` [d] is a variance that counts as d + 2 rows."""
    n_groups, d, width = mixture.whitening.shape
    n = moments.weight.sum()
    for k in range(n_groups):
        weight, rows = moments.weight[k], moments.weight[k] + d + 2.0
        for j in range(d):
            for c in range(j + 1 if width == d else 1):
                other = c if width == d else j
                product = moments.first[k, j] * moments.first[k, other] / weight if weight > 0.0 else 0.0
                work[j, c] = (moments.second[k, j, c] - product) / rows
            work[j, min(j, width - 1)] += (d + 2.0) / rows * prior[j] + FLOOR
        for j in range(d):
            mixture.mean[k, j] += moments.first[k, j] / weight if weight > 0.0 else 0.0
        log_weight = math.log(max(weight / n, 1e-300)) if n > 0.0 else -math.log(n_groups)
        mixture.peak[k] = log_weight + _fill_whitening(work, mixture.whitening[k])


@kernel
def _fill_whitening(work: Floats, whitening: Floats) -> float:
    """Fill the whitening of a covariance, given by its lower triangle; return the log density at the mean."""
    d, width = whitening.shape
    log_determinant = 0.0
    if width == d:
        log_determinant = _invert_factor(work, d)
    for j in range(d):
        if width < d:
            log_determinant += math.log(work[j, 0])
            whitening[j, 0] = 1.0 / math.sqrt(work[j, 0])
        for c in range(j, d if width == d else 0):
            whitening[j, c] = work[c, j]
    peak: float = -0.5 * (log_determinant + d * LOG_TWO_PI)
    return peak


@kernel
def _add_shares(m: int, mixture: Mixture, scratch: Scratch, out: Floats) -> None:
    """Add half of each column's part of the squared distances, weighted by the distributions' probabilities."""
    width = mixture.whitening.shape[2]
    for k in range(scratch.share.size):
        away, whitening = scratch.away[k], mixture.whitening[k]
        _whiten(away, whitening, scratch.white)
        for j in range(away.size):
            other = _product(whitening, j, scratch.white) if width == away.size else whitening[j, 0] * scratch.white[j]
            out[j] += 0.5 * scratch.share[k] * away[j] * other
    for a in range(m):
        out[scratch.gaps[a]] = 0.0


@kernel
def _evaluate(X: Floats, mean: Floats, spread: Floats, mixture: Mixture, scores: Floats, shares: Floats) -> None:
    """Fill the expected -log density of each row, and the columns' shares unless `shares` has no rows."""
    scratch = _scratch(mixture)
    for i in range(X.shape[0]):
        m = _load(X, i, mean, spread, scratch.row, scratch.gaps)
        score = -_log_density(m, mixture, scratch)
        for k in range(scratch.share.size):
            score += 0.5 * scratch.share[k] * (m * (1.0 + LOG_TWO_PI) - scratch.volume[k])
        scores[i] = np.nan if columns.is_empty(X, i) else score
        if shares.shape[0] > 0:
            shares[i].fill(0.0)
            _add_shares(m, mixture, scratch, shares[i])


def _plan(X: Floats, n_components: int) -> tuple[int, int]:
    """How many rows a fit takes, and how many columns a distribution's whitening has: one where they are independent.

    A row costs the products of its cells, and those of its gaps with all columns.
    """
    n, d = X.shape
    cost = n_components * d * (d + (int(np.isnan(X).sum()) / n) ** 2)
    if cost <= MOST_FOR_A_ROW and n > ROWS_A_COLUMN * d:
        return min(n, MOST_ROWS, int(MOST_PRODUCTS / cost)), d
    return min(n, MOST_ROWS), 1


def _draw(Z: Floats, n_components: int, rng: np.random.Generator) -> Indices:
    """Rows to begin with: each is drawn by its squared distance from those before (Arthur & Vassilvitskii 2007)."""
    chosen = [int(rng.integers(len(Z)))]
    nearest = np.full(len(Z), np.inf)
    for _ in range(n_components - 1):
        nearest = np.minimum(nearest, np.square(Z - Z[chosen[-1]]).sum(axis=1))
        upper = np.cumsum(nearest)
        if upper[-1] == 0.0:
            break
        chosen.append(int(np.searchsorted(upper, rng.random() * upper[-1], "right")))
    rows: Indices = np.minimum(np.array(chosen, np.int64), len(Z) - 1)
    return rows


def _ordinary(mixture: Mixture, weight: Floats, min_share: float) -> Mixture:
    """The distributions that hold enough of the rows, with their weights scaled up to 1."""
    share = weight / weight.sum() if weight.sum() > 0.0 else np.full(len(weight), 1.0 / len(weight))
    kept = share >= min(min_share, 0.5 / len(share)) - 1e-9
    return Mixture(mixture.mean[kept], mixture.whitening[kept], mixture.peak[kept] - math.log(share[kept].sum()))


def _fitted(X: Floats, center: Floats, spread: Floats, start: Floats, width: int, min_share: float) -> Mixture:
    """The mixture by expectation and maximisation in turn, from these means on."""
    k, d = start.shape
    mixture = Mixture(start, np.zeros((k, d, width)), np.zeros(k))
    moments = Moments(np.zeros(k), np.zeros((k, d)), np.zeros((k, d, width)))
    prior, work = np.where(spread > 0.0, 1.0, 0.0) / k ** (2.0 / d), np.zeros((d, width))
    _maximise(moments, prior, mixture, work)
    before = -np.inf
    for _ in range(MOST_TURNS):
        after = _expect(X, center, spread, mixture, moments, workers.stop_flag())
        workers.check()
        _maximise(moments, prior, mixture, work)
        if after - before < SMALL_GAIN * d:
            break
        before = after
    return _ordinary(mixture, moments.weight, min_share)


class GmmParams(Params, frozen=True):
    """Parameters of the mixture."""

    n_components: Annotated[int, msgspec.Meta(ge=1, le=100, description="Normal distributions in the mixture")] = 3
    min_share: Annotated[
        float,
        msgspec.Meta(
            ge=0.0, lt=1.0, description="Share of rows below which a distribution counts as a group of anomalies"
        ),
    ] = 0.1


class GmmState(State, frozen=True):
    """The distributions that hold ordinary rows; see `Mixture`."""

    center: Floats  # [d]
    spread: Floats  # [d], population standard deviation; 0 where the column is flat
    mean: Floats
    whitening: Floats
    peak: Floats
    start: Indices  # the rows, of those that were used, that the means began at

    @property
    def mixture(self) -> Mixture:
        """The arrays as the kernels take them."""
        return Mixture(self.mean, self.whitening, self.peak)

    def check(self, d: int) -> None:
        """See `State`."""
        n = layout.shapes(self, d, center="d", spread="d", mean="k d", whitening="k d w", peak="k", start="s")
        layout.require(n["k"] and n["w"] in (1, d), "`whitening` holds no distribution")


@algorithm(
    kind="table",
    family="probability",
    reference="Dempster, Laird & Rubin 1977",
    complexity="O(n_components * d ** 2 * n)",
    params=GmmParams,
    deterministic=False,
)
class gmm:
    """Gaussian mixture: how improbable a row is under the normal distributions that make up the rows.

    -log of the sum over the distributions of weight times density, in standardised columns. The distributions are
    found by expectation and maximisation from rows drawn far apart (as k-means++ does), until the mean
    log-likelihood gains less than 1e-4 a column, at most 100 times, on at most 65,536 rows, fewer in many columns.
    Their covariances have a prior worth d + 2 rows: the columns' own variances, without correlation, divided by
    n_components ** (2 / d) (in the spirit of Fraley & Raftery 2007), so that none collapses. With no more than twice
    as many rows as columns, or with so many columns that a row would take long (more than 223 with the defaults and no
    gaps), columns count as independent within a distribution.

    A distribution that holds less than `min_share` of the rows, or half of an equal share if that is less, fits a
    group of anomalies: it keeps them from the others, and is then left out. The defaults are three distributions, a
    small number above one, and the contamination that PyOD takes for usual. PyOD's GMM has one distribution, which
    ranks rows as the Mahalanobis distance does, and leaves none out where there are more.

    Gaps are integrated out, in the fit too (Ghahramani & Jordan 1994): the density is that of the known values. To it
    is added what the gaps would have added on average, the entropy of what they may hold, so that rows with gaps
    compare with others.
    """

    @staticmethod
    def fit(X: Floats, params: GmmParams, seed: int) -> GmmState:
        """Fit the distributions to all rows, or to as many as time allows."""
        rng = np.random.default_rng(seed)
        center, spread = columns.moments(X)
        n_rows, width = _plan(X, params.n_components)
        if n_rows < len(X):
            X = X[rng.choice(len(X), n_rows, replace=False)]
        Z = nb.standardised(X[:START_ROWS], center, np.where(spread > 0.0, spread, 1.0))[0]
        start = _draw(Z, params.n_components, rng)
        return GmmState(center, spread, *_fitted(X, center, spread, Z[start], width, params.min_share), start)

    @staticmethod
    def score(state: GmmState, X: Floats, _own: Flags) -> Floats:
        """The expected negative log density; NaN where a row has no value."""
        scores = np.empty(len(X))
        _evaluate(X, state.center, state.spread, state.mixture, scores, np.empty((0, X.shape[1])))
        return scores

    @staticmethod
    def explain(state: GmmState, X: Floats) -> Floats:
        """Half of x_j * (S^-1 x)_j, averaged over the distributions by their probability, 0 for a gap.

        The parts sum to half the squared Mahalanobis distance, and one may be negative.
        """
        shares = np.empty(X.shape)
        _evaluate(X, state.center, state.spread, state.mixture, np.empty(len(X)), shares)
        return shares
