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
    Example(method="GET", path="/api/v1/auth/me"),
    Example(method="PATCH", path="/api/v1/auth/me", body={"settings": {"theme": "dark", "time_zone": "Europe/Berlin"}}),
    Example(method="GET", path="/api/v1/roles"),
    Example(method="POST", path="/api/v1/users", status=201, body={"name": "grace", "role": "user"}),
    Example(method="GET", path="/api/v1/users", query={"limit": 10}),
    Example(method="GET", path="/api/v1/users/{name}", path_values={"name": "grace"}),
    Example(
        method="PATCH",
        path="/api/v1/users/{name}",
        path_values={"name": "grace"},
        body={"role": "viewer", "display_name": "Grace"},
    ),
    Example(
        method="POST",
        path="/api/v1/users/{name}/link",
        status=201,
        path_values={"name": "grace"},
        keep={"link": "/token"},
    ),
    Example(
        method="POST",
        path="/api/v1/auth/link",
        body={"token": "{link}", "password": "correct horse battery"},
        keep={"refresh": "/refresh_token"},
    ),
    Example(
        method="POST",
        path="/api/v1/auth/refresh",
        body={"refresh_token": "{refresh}"},
        keep={"access": "/access_token"},
    ),
    Example(
        method="POST",
        path="/api/v1/auth/sign-out",
        status=204,
        headers={"Authorization": "Bearer {access}"},
    ),
    Example(
        method="POST",
        path="/api/v1/auth/sign-in",
        body={"user": "grace", "password": "correct horse battery"},
        keep={"access": "/access_token"},
    ),
    Example(
        method="PUT",
        path="/api/v1/auth/password",
        status=204,
        headers={"Authorization": "Bearer {access}"},
        body={"current_password": "correct horse battery", "new_password": "staple of another kind"},
    ),
    Example(method="DELETE", path="/api/v1/users/{name}", status=204, path_values={"name": "grace"}),
    Example(
        method="POST",
        path="/api/v1/api-keys",
        status=201,
        body={"name": "nightly import", "scopes": ["read", "write_datasets"]},
        keep={"key": "/id"},
    ),
    Example(method="GET", path="/api/v1/api-keys"),
    Example(method="DELETE", path="/api/v1/api-keys/{id}", status=204, path_values={"id": "{key}"}),
)
