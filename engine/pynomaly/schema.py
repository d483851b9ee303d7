"""What the functions of the macros return, as Arrow types."""

import pyarrow as pa

from pynomaly.quoting import identifier

REASON = pa.struct(
    [("feature", pa.string()), ("value", pa.string()), ("expected", pa.string()), ("contribution", pa.float64())]
)
FITTED = pa.struct([("model", pa.int64()), ("threshold", pa.float64())])
DESCRIPTION = pa.struct(
    [("column", pa.string()), ("used", pa.bool_()), ("encoding", pa.string()), ("why", pa.string())]
)
ALGORITHM = pa.struct(
    [
        *((name, pa.string()) for name in ("name", "kind", "family", "summary", "reference", "complexity")),
        *((name, pa.bool_()) for name in ("deterministic", "handles_missing", "scores_new_rows")),
        ("max_rows", pa.int64()),
        ("limit_reason", pa.string()),
        ("caveat", pa.string()),
        ("available", pa.bool_()),
        ("install_hint", pa.string()),
    ]
)
PARAMETER = pa.struct(
    [
        ("name", pa.string()),
        ("type", pa.string()),
        ("minimum", pa.float64()),
        ("maximum", pa.float64()),
        ("choices", pa.list_(pa.string())),
        ("default", pa.string()),
        ("description", pa.string()),
    ]
)
FEATURE = pa.struct(
    [
        *((name, pa.string()) for name in ("name", "class", "kind", "takes")),
        ("parameters", pa.list_(pa.string())),
        ("summary", pa.string()),
    ]
)
SUGGESTION = pa.struct([("step", pa.string()), ("why", pa.string())])
RULE = pa.struct(
    [("name", pa.string()), ("is_default", pa.bool_()), ("summary", pa.string()), ("reference", pa.string())]
)
RULE_ROW = pa.struct(
    [
        ("kind", pa.string()),
        ("columns", pa.list_(pa.string())),
        ("parameters", pa.string()),
        ("severity", pa.string()),
    ]
)
SCORED = pa.struct([("anomaly_score", pa.float64()), ("is_anomaly", pa.bool_()), ("reasons", pa.list_(REASON))])
MEANT_RULES = pa.struct([("name", pa.string()), ("version", pa.int64()), ("rules", pa.string())])
COMPARED = pa.struct(
    [
        ("algorithm", pa.string()),
        ("seconds", pa.float64()),
        ("rows_per_second", pa.float64()),
        ("peak_memory_bytes", pa.int64()),
        ("n_rows", pa.int64()),
        ("n_flagged", pa.int64()),
        *((name, pa.float64()) for name in ("threshold", "auroc", "average_precision", "precision", "recall", "f1")),
        ("consensus_correlation", pa.float64()),
        ("error", pa.string()),
    ]
)
TRAINED = pa.struct(
    [
        ("algorithm", pa.string()),
        ("parameters", pa.string()),
        ("seed", pa.int64()),
        ("features", pa.list_(pa.string())),
        ("encodings", pa.string()),
        ("source_rows", pa.int64()),
        ("fitted_rows", pa.int64()),
        ("fingerprint", pa.string()),
        ("threshold", pa.float64()),
        ("cut_off", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("metrics", pa.string()),
        ("libraries", pa.string()),
        ("fit_seconds", pa.float64()),
        ("peak_memory_bytes", pa.int64()),
        ("state", pa.binary()),
        ("digest", pa.string()),
    ]
)
EXPLAINED = pa.struct(
    [
        *((name, pa.string()) for name in ("feature", "value", "expected")),
        *((name, pa.float64()) for name in ("contribution", "share")),
    ]
)
DIFFERENCE = pa.struct([*((name, pa.string()) for name in ("feature", "value", "normal")), ("share", pa.float64())])
PROJECTED = pa.struct([("handle", pa.int64()), ("shares", pa.list_(pa.float64()))])
COST = pa.struct(
    [
        ("algorithm", pa.string()),
        ("n_rows", pa.int64()),
        ("n_features", pa.int64()),
        ("seconds", pa.float64()),
        ("peak_memory_bytes", pa.int64()),
        ("basis", pa.string()),
    ]
)

SETTING = pa.struct([(name, pa.string()) for name in ("name", "type", "default_value", "description")])
WORKSPACE_FILE = pa.struct(
    [("name", pa.string()), ("n_bytes", pa.int64()), ("modified", pa.float64()), ("is_unfinished", pa.bool_())]
)


def sql_type(type_: pa.DataType) -> str:
    """An Arrow type as DuckDB writes it."""
    if pa.types.is_struct(type_):
        fields = ", ".join(f"{identifier(field.name)} {sql_type(field.type)}" for field in type_)
        return f"struct({fields})"
    if pa.types.is_list(type_):
        return f"{sql_type(type_.value_type)}[]"
    return {
        pa.string(): "varchar",
        pa.bool_(): "boolean",
        pa.float64(): "double",
        pa.int64(): "bigint",
        pa.binary(): "blob",
    }[type_]
