"""An example of every operation, in an order in which they can be run: the document shows them, a test runs them.

`{name}` in a value stands for something that an earlier answer gave, as `keep` says.
"""

from typing import Any

import msgspec


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One request with the status that it is answered with."""

    method: str
    path: str
    status: int = 200
    path_values: dict[str, Any] = {}
    query: dict[str, Any] = {}
    headers: dict[str, str] = {}
    body: Any = None
    content: str | None = None
    content_type: str = "text/csv"
    keep: dict[str, str] = {}  # name to a JSON pointer into the answer


PAYMENTS = "id,amount,hour\n" + "".join(
    f"{n},{9000 if n == 17 else 20 + (n * 37) % 50},{(n * 7) % 24}\n" for n in range(1, 61)
)

STORY: tuple[Example, ...] = (
    Example(method="GET", path="/health/live"),
    Example(method="GET", path="/health/ready"),
    Example(method="GET", path="/api/v1/health"),
    Example(method="GET", path="/metrics"),
    Example(method="GET", path="/api/v1/algorithms"),
    Example(method="GET", path="/api/v1/algorithms/{name}", path_values={"name": "iforest"}),
    Example(method="GET", path="/api/v1/settings"),
    Example(method="PUT", path="/api/v1/settings/{name}", path_values={"name": "query_rows"}, body={"value": 20_000}),
)
