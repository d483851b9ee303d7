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
_PAYMENTS = {"name": "payments"}
_RUN = {"run": "{run}"}
_STRICT = {"name": "strict"}
_FRAUD = {"name": "fraud"}

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
    # From a file to explained anomalies.
    Example(
        method="POST",
        path="/api/v1/datasets/upload",
        status=201,
        query={"filename": "payments.csv"},
        content=PAYMENTS,
        keep={"upload": "/upload_id"},
    ),
    Example(method="GET", path="/api/v1/uploads"),
    Example(method="GET", path="/api/v1/uploads/{upload_id}", path_values={"upload_id": "{upload}"}),
    Example(
        method="POST",
        path="/api/v1/datasets",
        status=201,
        headers={"Prefer": "wait=30"},
        body={"name": "payments", "upload_id": "{upload}"},
    ),
    Example(method="GET", path="/api/v1/datasets", query={"search": "pay"}),
    Example(method="GET", path="/api/v1/datasets/{name}", path_values=_PAYMENTS),
    Example(method="GET", path="/api/v1/datasets/{name}/versions", path_values=_PAYMENTS),
    Example(method="GET", path="/api/v1/datasets/{name}/versions/{version}", path_values={**_PAYMENTS, "version": 1}),
    Example(method="GET", path="/api/v1/datasets/{name}/profile", path_values=_PAYMENTS),
    *(
        Example(
            method="GET",
            path=f"/api/v1/datasets/{{name}}/{rows}{suffix}",
            path_values=_PAYMENTS,
            query={"limit": 5} if not suffix else {},
        )
        for rows in ("rows", "quarantine")
        for suffix in ("", ".json", ".ndjson", ".csv", ".arrow", ".parquet")
    ),
    Example(method="GET", path="/api/v1/datasets/{name}/diff", path_values=_PAYMENTS, query={"a": 1, "b": 1}),
    Example(
        method="PUT",
        path="/api/v1/datasets/{name}/rules",
        path_values=_PAYMENTS,
        body={"rules": [{"kind": "unique", "column": "id"}, {"kind": "not_null", "column": "amount"}]},
    ),
    Example(method="GET", path="/api/v1/datasets/{name}/rules", path_values=_PAYMENTS),
    Example(method="POST", path="/api/v1/datasets/{name}/validate", path_values=_PAYMENTS, body={}),
    Example(
        method="POST",
        path="/api/v1/detection/detect",
        headers={"Prefer": "wait=30"},
        body={"dataset": "payments", "key": "id", "explain": 2},
        keep={"job": "/job/id", "run": "/run/id"},
    ),
    Example(method="GET", path="/api/v1/detection/results"),
    *(
        Example(
            method="GET",
            path="/api/v1/detection/results/{run}",
            path_values={"run": f"{{run}}{suffix}"},
            query={"is_anomaly": True, "columns": True} if not suffix else {},
        )
        for suffix in ("", ".csv", ".parquet")
    ),
    Example(method="GET", path="/api/v1/detection/results/{run}/histogram", path_values=_RUN, query={"bins": 20}),
    Example(
        method="GET",
        path="/api/v1/detection/results/{run}/rows/{key}/explanation",
        path_values={**_RUN, "key": "17"},
    ),
    Example(method="GET", path="/api/v1/detection/results/{run}/explanation", path_values=_RUN, query={"key": "17"}),
    Example(
        method="PUT",
        path="/api/v1/detection/results/{run}/rows/{key}/labels",
        path_values={**_RUN, "key": "17"},
        body={"label": "anomaly", "note": "a typing error"},
    ),
    Example(
        method="PUT",
        path="/api/v1/detection/results/{run}/labels",
        path_values=_RUN,
        body={"key": "18", "label": "normal"},
    ),
    Example(
        method="GET",
        path="/api/v1/detection/results/{run}/rows/{key}/labels",
        path_values={**_RUN, "key": "17"},
    ),
    Example(method="GET", path="/api/v1/detection/results/{run}/labels", path_values=_RUN),
    Example(
        method="POST",
        path="/api/v1/detection/evaluate",
        headers={"Prefer": "wait=30"},
        body={"source": "{run}"},
    ),
    Example(
        method="POST",
        path="/api/v1/detection/runs/{id}/replay",
        headers={"Prefer": "wait=30"},
        path_values={"id": "{run}"},
    ),
    Example(
        method="POST",
        path="/api/v1/detection/compare",
        headers={"Prefer": "wait=30"},
        body={"dataset": "payments", "algorithms": ["mad", "iqr"]},
    ),
    Example(
        method="POST",
        path="/api/v1/detection/batch",
        status=202,
        body={"datasets": ["payments", "payments@1"], "algorithm": "mad"},
        keep={"batch": "/batch"},
    ),
    Example(method="GET", path="/api/v1/jobs", query={"batch": "{batch}"}),
    Example(method="GET", path="/api/v1/jobs/{id}", path_values={"id": "{job}"}),
    Example(method="GET", path="/api/v1/jobs/{id}/events", path_values={"id": "{job}"}),
    Example(method="DELETE", path="/api/v1/jobs/{id}", path_values={"id": "{job}"}),
    Example(method="GET", path="/api/v1/runs", query={"filter": "status:eq:succeeded", "limit": 10}),
    Example(method="GET", path="/api/v1/runs/{run}", path_values=_RUN),
    Example(method="GET", path="/api/v1/runs/{a}/diff/{b}", path_values={"a": "{run}", "b": "{run}"}),
    Example(method="GET", path="/api/v1/runs/events"),
    Example(method="GET", path="/api/v1/lineage/{name}", path_values={"name": "payments"}),
    # A detector is a configuration by name, a model what was trained.
    Example(
        method="POST",
        path="/api/v1/detectors",
        status=201,
        body={"name": "strict", "algorithm": "iforest", "contamination": 0.01},
    ),
    Example(method="GET", path="/api/v1/detectors"),
    Example(method="GET", path="/api/v1/detectors/{name}", path_values=_STRICT),
    Example(
        method="PUT",
        path="/api/v1/detectors/{name}",
        path_values=_STRICT,
        headers={"If-Match": '"1"'},
        body={"algorithm": "iforest", "contamination": 0.02},
    ),
    Example(
        method="POST",
        path="/api/v1/models/train",
        headers={"Prefer": "wait=30"},
        body={"name": "fraud", "dataset": "payments", "exclude": ["id"], "algorithm": "ecod"},
    ),
    Example(method="GET", path="/api/v1/models"),
    Example(method="GET", path="/api/v1/models/{name}", path_values=_FRAUD),
    Example(method="GET", path="/api/v1/models/{name}/versions", path_values=_FRAUD),
    Example(
        method="POST",
        path="/api/v1/models/{name}/promote",
        path_values=_FRAUD,
        body={"version": 1, "stage": "champion"},
    ),
    Example(
        method="POST",
        path="/api/v1/models/{name}/score",
        path_values=_FRAUD,
        query={"explain": 1},
        body={"amount": 4200, "hour": 3},
    ),
    Example(
        method="POST",
        path="/api/v1/detection/score",
        headers={"Prefer": "wait=30"},
        body={"model": "fraud", "dataset": "payments"},
    ),
    Example(
        method="GET",
        path="/api/v1/models/{name}/export",
        path_values=_FRAUD,
        query={"format": "parquet"},
        keep={"file": ""},
    ),
    Example(
        method="POST",
        path="/api/v1/models/import",
        status=201,
        query={"name": "fraud_again"},
        content="{file}",
        content_type="application/vnd.apache.parquet",
    ),
    Example(
        method="POST", path="/api/v1/models/{name}/retire", path_values={"name": "fraud_again"}, body={"version": 1}
    ),
    Example(
        method="POST",
        path="/api/v1/models/train",
        headers={"Prefer": "wait=30"},
        body={"name": "fraud", "dataset": "payments", "exclude": ["id"], "algorithm": "mad"},
    ),
    Example(
        method="POST",
        path="/api/v1/models/{name}/promote",
        path_values=_FRAUD,
        body={"version": 2, "stage": "champion"},
    ),
    Example(method="POST", path="/api/v1/models/{name}/rollback", path_values=_FRAUD),
    Example(
        method="POST",
        path="/api/v1/queries",
        body={"sql": "select hour, count(*) as n from payments group by hour order by n desc", "limit": 5},
        keep={"query": "/id"},
    ),
    Example(method="GET", path="/api/v1/queries"),
    Example(method="GET", path="/api/v1/queries/{id}", path_values={"id": "{query}"}),
    *(
        Example(method=method, path=f"/api/v1/{kind}/{{name}}/shares{user}", status=status, path_values=values)
        for kind, name in (("datasets", "payments"), ("models", "fraud"), ("detectors", "strict"))
        for method, user, status, values in (
            ("PUT", "/{user}", 204, {"name": name, "user": "ben"}),
            ("GET", "", 200, {"name": name}),
            ("DELETE", "/{user}", 204, {"name": name, "user": "ben"}),
        )
    ),
    Example(method="GET", path="/api/v1/audit", query={"limit": 10}),
    Example(method="DELETE", path="/api/v1/detectors/{name}", status=204, path_values=_STRICT),
    Example(
        method="POST",
        path="/api/v1/datasets/upload",
        status=201,
        query={"filename": "more.csv"},
        content=PAYMENTS,
        keep={"second": "/upload_id"},
    ),
    Example(method="DELETE", path="/api/v1/uploads/{upload_id}", status=204, path_values={"upload_id": "{second}"}),
    Example(
        method="DELETE",
        path="/api/v1/datasets/{name}",
        status=204,
        path_values=_PAYMENTS,
        query={"force": True},
    ),
)
