"""How a row of the tables writes a parameter down, and the parameters that several classes share."""

from typing import Annotated, Any, Literal

from msgspec import Meta

Field = tuple[str, Any, Any]  # name, type, default: what msgspec.defstruct takes

MANY = 100_000


def integer(name: str, default: int | str | None, what: str, low: int, high: int) -> Field:
    """A whole-number parameter in [low, high]; a default that is None or a word may be given too."""
    return name, _optional(Annotated[int, Meta(ge=low, le=high)], default, (), what), default


def number(
    name: str,
    default: float | str | None,
    what: str,
    high: float,
    *,
    above: float | None = None,
    low: float | None = None,
    words: tuple[str, ...] = (),
) -> Field:
    """A real parameter in [low, high] or (above, high], or one of these words."""
    limits = Meta(ge=low, le=high) if above is None else Meta(gt=above, le=high)
    return name, _optional(Annotated[float, limits], default, words, what), default


def choice(name: str, default: str, what: str, *choices: str) -> Field:
    """One of these words."""
    return name, Annotated[Literal[choices], Meta(description=what)], default


def flag(name: str, default: bool, what: str) -> Field:
    """True or false."""
    return name, Annotated[bool, Meta(description=what)], default


def _optional(kind: Any, default: object, words: tuple[str, ...], what: str) -> Any:
    """A number that may also be None, or a word, when the default is one."""
    if default is None:
        kind = kind | None
    if isinstance(default, str):
        kind = kind | Literal[words or (default,)]
    return Annotated[kind, Meta(description=what)]


FOREST = (
    integer("n_estimators", 100, "Number of trees", 1, 10_000),
    integer("max_samples", "auto", "Rows drawn for each tree; auto is 256, or all where there are fewer", 2, 262_144),
    number("max_features", 1.0, "Share of the columns that each tree sees", 1.0, above=0.0),
    flag("bootstrap", False, "Draw rows with replacement"),
)
DISTANCE = (
    choice(
        "metric", "minkowski", "Distance between rows", "minkowski", "manhattan", "euclidean", "chebyshev", "cosine"
    ),
    number("p", 2, "Power of the Minkowski distance", 100.0, low=1.0),
)
ROBUST_COVARIANCE = (
    number(
        "support_fraction", None, "Share of the rows that the raw estimate uses; none is the smallest", 1.0, above=0.0
    ),
    flag("assume_centered", False, "Take the centre to be the origin"),
)
MIXTURE = (
    integer("n_components", 1, "Number of Gaussians", 1, 1000),
    choice("covariance_type", "full", "What the Gaussians may look like", "full", "tied", "diag", "spherical"),
    number("tol", 1e-3, "Gain of likelihood below which a fit stops", 1.0, above=0.0),
    number("reg_covar", 1e-6, "Added to the variances so that none is 0", 1e6, low=0.0),
    integer("max_iter", 100, "Largest number of steps of a fit", 1, MANY),
    integer("n_init", 1, "Number of starts, of which the best is kept", 1, 1000),
    choice("init_params", "kmeans", "How a start is found", "kmeans", "k-means++", "random", "random_from_data"),
)
MIXTURE_LEFT_OUT = dict.fromkeys(("weights_init", "means_init", "precisions_init"), "arrays, one value a Gaussian")
SVM = (
    choice("kernel", "rbf", "Kernel", "rbf", "linear", "poly", "sigmoid"),
    number("nu", 0.5, "Upper bound on the share of rows outside the boundary", 1.0, above=0.0),
    integer("degree", 3, "Degree of the poly kernel", 0, 100),
    number("coef0", 0.0, "Constant term of the poly and sigmoid kernels", 1e9, low=-1e9),
    number("tol", 1e-3, "Tolerance at which a fit stops", 1.0, above=0.0),
)
SVM_LEFT_OUT = {"max_iter": "a fit that stops early has no boundary"}
