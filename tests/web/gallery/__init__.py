"""A page that shows every component with sample data, served by the real application; only the tests have it."""

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from litestar import Controller, Litestar, Request, Response, get
from litestar.params import FromQuery

from pynomaly_server.app import create_app
from pynomaly_server.options import Options
from pynomaly_server.pages.environment import environment
from pynomaly_server.pages.shown import fragment, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.workspace import Workspace

_LOADER: Any = environment().loader
_LOADER.searchpath.append(str(Path(__file__).parent / "templates"))
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\u202e\"' onload=x " + "wide" * 40
LONG = "x" * 10_000


class GalleryPage(Controller):
    """The gallery."""

    path = "/gallery"
    include_in_schema = False

    @get("/", permission=Permission.SIGNED_IN, sync_to_thread=True)
    def get_gallery(self, request: Request[Any, Any, Any], sort: FromQuery[str] = "-score") -> Response[str]:
        """Everything."""
        return shown(request, "gallery.html", "Gallery", nav="runs", **samples(), sort=sort)

    @get("/count", permission=Permission.SIGNED_IN, sync_to_thread=True)
    def get_count(self, request: Request[Any, Any, Any], threshold: FromQuery[float]) -> Response[str]:
        """What a threshold flags."""
        histogram = samples()["histogram_data"]
        edges = zip(histogram["edges"], histogram["counts"], strict=False)
        n_flagged = sum(count for edge, count in edges if edge >= threshold)
        return fragment(request, "pages/gallery_count.html", n_flagged=n_flagged)

    @get("/words", permission=Permission.SIGNED_IN)
    async def get_words(self) -> list[dict[str, str]]:
        """What the editor completes."""
        function = {"label": "detect_anomalies", "kind": "function", "detail": "(source, ...)", "info": "Flags rows."}
        return [
            {"label": "payments", "kind": "table"},
            {"label": "amount", "kind": "column", "of": "payments"},
            function,
        ]

    @get("/drawer", permission=Permission.SIGNED_IN, sync_to_thread=True)
    def get_drawer(self, request: Request[Any, Any, Any]) -> Response[str]:
        """A row."""
        return shown(request, "gallery_drawer.html", "Row 17", parts=samples()["parts"])

    @get("/broken", permission=Permission.SIGNED_IN, sync_to_thread=True)
    def get_broken(self) -> Response[str]:
        """What fails unforeseen."""
        raise RuntimeError("a test")


def samples() -> dict[str, Any]:
    """The same data every time."""
    chance = random.Random(7)
    edges = [round(0.02 * n, 2) for n in range(51)]
    counts = [round(900 * math.exp(-(((edge - 0.32) / 0.11) ** 2))) for edge in edges[:-1]]
    for n, extra in ((38, 6), (41, 9), (44, 12), (47, 8), (49, 4)):
        counts[n] += extra
    moments = [NOW + timedelta(hours=n) for n in range(240)]
    values = [60 + 22 * math.sin(n / 24 * 2 * math.pi) + chance.gauss(0, 3) for n in range(240)]
    values[70], values[151], values[152] = 140.0, 6.0, 9.5
    points = [[chance.gauss(40, 9), chance.gauss(3, 0.6), chance.random() * 0.5, False, n] for n in range(400)]
    points += [[85.0, 5.6, 0.97, True, 401], [12.0, 6.1, 0.91, True, 402], [77.0, 0.4, 0.88, True, 403]]
    return {
        "histogram_data": {"edges": edges, "counts": counts, "threshold": 0.74, "recount": "/gallery/count"},
        "series_data": {
            "x": [moment.isoformat() for moment in moments],
            "y": values,
            "lower": [44 + 22 * math.sin(n / 24 * 2 * math.pi) for n in range(240)],
            "upper": [76 + 22 * math.sin(n / 24 * 2 * math.pi) for n in range(240)],
            "flagged": [70, 151, 152],
            "name": "requests",
        },
        "scatter_data": {
            "points": points,
            "x_name": "amount",
            "y_name": HOSTILE[:24],
            "select": "/gallery",
            "target": "#rows",
        },
        "heatmap_data": {
            "rows": ["berlin", "paris", HOSTILE[:30], "oslo", "rome", "lima"],
            "columns": [f"{hour:02d}:00" for hour in range(24)],
            "values": [[round(abs(chance.gauss(0.3, 0.2)), 3) for _ in range(24)] for _ in range(6)],
            "name": "mean score",
        },
        "parts": [
            {"feature": "amount", "value": 9000.0, "expected": [20.0, 70.0], "contribution": 4.21},
            {"feature": "hour", "value": 3, "expected": [8, 19], "contribution": 1.02},
            {"feature": "merchant", "value": HOSTILE, "expected": "grocer", "contribution": 0.4},
            {"feature": "age", "value": 41, "expected": [18, 75], "contribution": -0.62},
        ],
        "rows": [
            {
                "id": n,
                "merchant": name,
                "amount": amount,
                "score": score,
                "is_anomaly": score > 0.8,
                "at": NOW,
                "note": note,
            }
            for n, (name, amount, score, note) in enumerate(
                [
                    ("Ærø & sons", 9000.0, 0.97312, None),
                    (HOSTILE, 12.5, 0.91, LONG),
                    ("שלום עולם", 1_234_567.89, 0.84, "right to left"),
                    ("corner shop", 0.00001234, 0.4, ""),
                    ("café", 23.4, 0.22, "fine"),
                ]
            )
        ],
        "trend": [3, 4, 4, 6, 5, 9, 7, 12, 11, 37],
        "now": NOW,
        "row_address": lambda row: f"/gallery/drawer?row={row['id']}",
    }


def gallery(folder: Path) -> tuple[Litestar, Workspace]:
    """The application with the gallery in it."""
    workspace = Workspace(Options({"database": str(folder / "workspace.duckdb")}, {}))
    app = create_app(workspace)
    app.register(GalleryPage)
    return app, workspace
