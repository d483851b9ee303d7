"""One-class support vector machine on random Fourier features (Schoelkopf et al. 2001; Rahimi & Recht 2007)."""

import math
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import subsamples as sub

AT_ONCE = 8_192  # rows between two looks at whether to stop
REACH = 1e4  # standardised values end here: a fitted one is at most sqrt(n), so the kernel with any is 0
ROUND = 6755399441055744.0  # 1.5 * 2 ** 52: adding it rounds to a whole number
LEAST = 1e-3  # value of a row at the centre, at least: the exact machine's is positive everywhere
OFFSET = 0.6180339887498949  # first rho; no fraction, so that no step among copies ends on the margin


class Machine(NamedTuple):
    """The frequencies, and the function that was learned of the features."""

    frequencies: Floats  # [d, k], in turns
    size: Floats  # [k], of a frequency's cosine
    phase: Floats  # [k], in turns
    low: Floats  # [d], least of the standardised fitted values
    high: Floats  # [d]
    gamma: float
    rho: float


@kernel
def _cosine(turns: float) -> float:
    """cos(2 pi turns) by the series of 1 - 2 sin(x) ** 2, |x| <= pi / 2: vectorised, unlike a library's."""
    x = math.pi * (turns - ((turns + ROUND) - ROUND))
    y = x * x
    inner = 1.0 - y / 210.0 * (1.0 - y / 272.0 * (1.0 - y / 342.0 * (1.0 - y / 420.0)))
    inner = 1.0 - y / 72.0 * (1.0 - y / 110.0 * (1.0 - y / 156.0 * inner))
    sine = x * (1.0 - y / 6.0 * (1.0 - y / 20.0 * (1.0 - y / 42.0 * inner)))
    return 1.0 - 2.0 * (sine * sine)


@kernel
def _fill_turns(row: Floats, frequencies: Floats, turns: Floats) -> None:
    """Fill the phase of a row at each frequency."""
    turns.fill(0.0)
    for j in range(row.size):
        for f in range(turns.size):
            turns[f] += row[j] * frequencies[j, f]


@kernel
def _fill_features(row: Floats, frequencies: Floats, turns: Floats, out: Floats) -> None:
    """Fill the cosines of a row, then its sines: k each, so that the square of their length is k."""
    k = turns.size
    _fill_turns(row, frequencies, turns)
    for f in range(k):
        out[f] = _cosine(turns[f])
        out[k + f] = _cosine(turns[f] - 0.25)


@kernel
def _product(a: Floats, b: Floats) -> float:
    """Inner product; several sums, since each waits for its last term."""
    whole = a.size - a.size % 4
    sum0, sum1, sum2, sum3 = 0.0, 0.0, 0.0, 0.0
    for f in range(0, whole, 4):
        sum0 += a[f] * b[f]
        sum1 += a[f + 1] * b[f + 1]
        sum2 += a[f + 2] * b[f + 2]
        sum3 += a[f + 3] * b[f + 3]
    for f in range(whole, a.size):
        sum0 += a[f] * b[f]
    return (sum0 + sum1) + (sum2 + sum3)


@kernel
def _train(Z: Floats, frequencies: Floats, nu: float, n_steps: int, stop: workers.Stop) -> Floats:
    """Mean weights over the later half of the steps. O(steps k d).

    A step of size 1 / (nu t) leaves the weights at the sum of the features of rows that were inside the
    margin over nu t; only that sum is kept.
    """
    k = frequencies.shape[1]
    turns, features = np.empty(k), np.empty(2 * k)
    total, mean = np.zeros(2 * k), np.zeros(2 * k)
    rho = OFFSET
    for t in range(1, n_steps + 1):
        if stop[0] != 0:
            break
        _fill_features(Z[(t - 1) % Z.shape[0]], frequencies, turns, features)
        is_inside = _product(total, features) < rho * (nu * k * max(t - 1, 1))
        rho += (nu - (1.0 if is_inside else 0.0)) / (nu * t)
        if is_inside:
            for f in range(2 * k):
                total[f] += features[f]
        if 2 * t > n_steps:
            for f in range(2 * k):
                mean[f] += total[f] / (nu * t)
    for f in range(2 * k):
        mean[f] /= k * (n_steps - n_steps // 2)
    return mean


@kernel
def _fill_values(block: Floats, machine: Machine, turns: Floats, out: Floats) -> None:
    """Fill what the machine says of the rows of a block, as its features have it."""
    out.fill(0.0)
    for f in range(machine.size.size):
        turns.fill(machine.phase[f])
        for j in range(block.shape[0]):
            frequency = machine.frequencies[j, f]
            for i in range(sub.ROWS):
                turns[i] += block[j, i] * frequency
        size = machine.size[f]
        for i in range(sub.ROWS):
            out[i] += size * _cosine(turns[i])


@kernel
def _score(value: float, row: Floats, machine: Machine) -> float:
    """Rho less the value, which is brought between `LEAST`, falling with the distance, and what the kernel allows."""
    beyond, away = 0.0, 0.0
    for j in range(row.size):
        outside = max(machine.low[j] - row[j], row[j] - machine.high[j], 0.0)
        beyond += outside * outside
        away += row[j] * row[j]
    most, least = np.exp(-machine.gamma * beyond), LEAST / (1.0 + machine.gamma * away)
    out: float = machine.rho - max(min(value, most), least)
    return out


@kernel
def _scores(Z: Floats, machine: Machine, stop: workers.Stop) -> Floats:
    """Score of each row. O(n k d)."""
    block, turns, values = np.zeros((Z.shape[1], sub.ROWS)), np.empty(sub.ROWS), np.empty(sub.ROWS)
    out = np.empty(Z.shape[0])
    for first in range(0, Z.shape[0], sub.ROWS):
        count = sub.load(Z, first, block)
        if stop[0] != 0:
            break
        _fill_values(block, machine, turns, values)
        for i in range(count):
            out[first + i] = _score(values[i], Z[first + i], machine)
    return out


@kernel
def _score_at(row: Floats, turns: Floats, machine: Machine, terms: Floats) -> float:
    """Score of one row whose phases are known."""
    for f in range(terms.size):
        terms[f] = _cosine(turns[f])
    return _score(_product(terms, machine.size), row, machine)


@kernel
def _effects(Z: Floats, machine: Machine) -> Floats:
    """Change of the score by each column: mean of that from the row without it and that from the centre to it alone.

    O(n k d), since one column adds one term to a phase.
    """
    d, k = machine.frequencies.shape
    turns, moved, terms, row = np.empty(k), np.empty(k), np.empty(k), np.zeros(d)
    out = np.zeros(Z.shape)
    center = _score_at(row, machine.phase, machine, terms)
    for i in range(Z.shape[0]):
        _fill_turns(Z[i], machine.frequencies, turns)
        for f in range(k):
            turns[f] += machine.phase[f]
        whole = _score_at(Z[i], turns, machine, terms)
        for j in range(d):
            for f in range(k):
                moved[f] = machine.phase[f] + Z[i, j] * machine.frequencies[j, f]
            row.fill(0.0)
            row[j] = Z[i, j]
            alone = _score_at(row, moved, machine, terms)
            for f in range(k):
                moved[f] = turns[f] - Z[i, j] * machine.frequencies[j, f]
            for other in range(d):
                row[other] = Z[i, other] if other != j else 0.0
            without = _score_at(row, moved, machine, terms)
            out[i, j] = 0.5 * (whole - without) + 0.5 * (alone - center)
    return out


class OcsvmParams(Params, frozen=True):
    """Parameters of the one-class support vector machine."""

    nu: Annotated[
        float, msgspec.Meta(ge=0.001, le=1.0, description="Share of the fitted rows to lie outside the boundary")
    ] = 0.5
    gamma: Annotated[
        float, msgspec.Meta(ge=0.001, le=1000.0, description="Kernel coefficient times the number of columns")
    ] = 1.0
    n_components: Annotated[int, msgspec.Meta(ge=1, le=16_384, description="Number of random frequencies")] = 512
    n_steps: Annotated[int, msgspec.Meta(ge=1_000, le=100_000_000, description="Training steps, of one row each")] = (
        20_000
    )


class OcsvmState(State, frozen=True):
    """The machine: see `Machine` for the other fields."""

    center: Floats  # [d], mean of each column
    spread: Floats  # [d]
    drawn: Floats  # [d, n_components], standard normal
    size: Floats
    phase: Floats
    low: Floats
    high: Floats
    gamma: float
    rho: float

    @property
    def machine(self) -> Machine:
        """The machine as the kernels take it."""
        frequencies = _frequencies(self.drawn, self.gamma)
        return Machine(frequencies, self.size, self.phase, self.low, self.high, self.gamma, self.rho)

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        layout.shapes(self, d, drawn="d k", size="k", phase="k", low="d", high="d")
        layout.require(self.gamma > 0.0, "`gamma` is not positive")


def _frequencies(drawn: Floats, gamma: float) -> Floats:
    """Frequencies whose mean cosine is the kernel exp(-gamma * distance ** 2)."""
    out: Floats = drawn * (math.sqrt(2.0 * gamma) / (2.0 * math.pi))
    return out


def _rows(X: Floats, center: Floats, spread: Floats) -> tuple[Floats, Flags]:
    """Standardised rows within `REACH`, and which are all gaps."""
    Z, empty = nb.standardised(X, center, spread)
    return np.clip(Z, -REACH, REACH, out=Z), empty


@algorithm(
    kind="table",
    family="kernel",
    reference="Schoelkopf, Platt, Shawe-Taylor, Smola & Williamson 2001",
    complexity="O(n_components * d * (n + n_steps))",
    params=OcsvmParams,
    handles_missing=False,
    deterministic=False,
)
class ocsvm:
    """One-class support vector machine: how far a row lies outside a boundary around the mass of the rows.

    The score is rho - <w, phi(x)>: above 0 for about the share `nu` of the fitted rows. phi(x) are the cosines and
    sines of `n_components` random frequencies, whose inner product is in the mean the Gaussian kernel
    exp(-gamma / d * |x - y| ** 2) of the standardised columns; with 512 it is off by about 0.03. w comes from
    stochastic subgradient steps of size 1 / (nu t) in passes over the rows (Shalev-Shwartz, Singer & Srebro 2007),
    as the mean over the later half of them; rho is then the quantile `nu` of the fitted rows' <w, phi(x)>, which
    is where the optimum has it. Steps beyond the first 20,000 change the ranking of rows hardly at all.

    <w, phi(x)> estimates a mean of kernels, so it is kept between 0 and the kernel of the least distance that the row
    has from the box of the fitted rows. At the lower end it is 0.001 / (1 + gamma / d * |x| ** 2), so that a
    far row scores about rho, more the farther it is, up to 10,000 standard deviations.

    PyOD's and sklearn's exact machine takes time that grows with the square of the rows and more. Columns are divided
    by their standard deviation in the fit sample; a gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: OcsvmParams, seed: int) -> OcsvmState:
        """Draw the frequencies, train, and place the boundary."""
        center, spread = nb.column_scales(X)
        Z, empty = _rows(X, center, spread)
        Z = Z if empty.all() else Z[~empty]
        gamma = params.gamma / X.shape[1]
        drawn = np.random.default_rng(seed).normal(size=(X.shape[1], params.n_components))
        mean = _train(Z, _frequencies(drawn, gamma), params.nu, params.n_steps, workers.stop_flag())
        workers.check()
        cosine, sine = mean[: params.n_components], mean[params.n_components :]
        phase = -np.arctan2(sine, cosine) / (2.0 * math.pi)
        fields = (center, spread, drawn, np.hypot(cosine, sine), phase, Z.min(axis=0), Z.max(axis=0), gamma)
        machine = OcsvmState(*fields, 0.0).machine
        stop = workers.stop_flag()
        values = np.sort(-workers.per_row(len(Z), AT_ONCE, lambda first, end: _scores(Z[first:end], machine, stop)))
        return OcsvmState(*fields, columns.quantile(values, params.nu))

    @staticmethod
    def score(state: OcsvmState, X: Floats, _own: Flags) -> Floats:
        """The machine's rho - <w, phi(x)>; NaN where a row has no value."""
        Z, empty = _rows(X, state.center, state.spread)
        scores = _scores(Z, state.machine, workers.stop_flag())
        scores[empty] = np.nan
        return scores

    @staticmethod
    def explain(state: OcsvmState, X: Floats) -> Floats:
        """What each column changes: when it alone is set to its centre, and when all others are, in the mean.

        Two columns far from their centres share; a column at its centre gets 0. The contributions are near the score
        less that of the centre, and do not sum to it exactly.
        """
        Z, empty = _rows(X, state.center, state.spread)
        effects = _effects(Z, state.machine)
        effects[empty] = np.nan
        return effects
