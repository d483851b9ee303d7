"""How long a peer may take, and how often it is asked again."""

from collections.abc import Callable
from typing import TypeVar

from pynomaly.datasets.opened import Asked, missing
from pynomaly.errors import BadParameter, SourceUnavailable

T = TypeVar("T")

SECONDS = 60.0  # that a peer may be silent, where the load does not say
CONNECT_SECONDS = 10.0
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0


def seconds(asked: Asked, given: str | None = None) -> float:
    """The seconds that a peer may be silent: the option `timeout`, or that of the address."""
    value = asked.options.get("timeout", given)
    try:
        found = SECONDS if value is None else float(str(value))
    except ValueError:
        found = 0.0
    if not 0.0 < found < 1e6:
        raise BadParameter(f"`timeout` is {value!r}", "give the seconds that the source may be silent")
    return found


def patiently(action: Callable[[], T], limit: float) -> T:
    """What an action gives, asked for again after a pause where its peer is unavailable, within `limit` seconds."""
    try:
        import stamina
    except ImportError:
        raise missing("stamina", "a source that is served from elsewhere") from None
    attempts = stamina.retry_context(
        on=SourceUnavailable,
        attempts=ATTEMPTS,
        timeout=limit,
        wait_initial=FIRST_PAUSE_SECONDS,
        wait_max=LONGEST_PAUSE_SECONDS,
        wait_jitter=FIRST_PAUSE_SECONDS,
    )
    for attempt in attempts:
        with attempt:
            return action()
    raise AssertionError("the last attempt returns or raises")  # which mypy cannot see
