"""What a parsed SELECT may consist of: every kind of node that is harmless, with all the keys that it can have.

The names are those of DuckDB's `json_serialize_sql`. A kind or a key that is not here is refused, so that what a later
DuckDB adds is closed until somebody has looked at it.
"""

from typing import Any


def _keys(names: str) -> frozenset[str]:
    return frozenset((*names.split(), "query_location", "query_location_length"))


EXPRESSIONS = {
    kind: _keys(f"class type alias {names}")
    for kind, names in {
        "BETWEEN": "input lower upper",
        "CASE": "case_checks else_expr",
        "CAST": "child try_cast type_expr",
        "COLLATE": "child collation",
        "COLUMN_REF": "column_names",
        "COMPARISON": "left right",
        "CONJUNCTION": "children",
        "CONSTANT": "literal",
        "FUNCTION": "arguments catalog distinct export_state filter function_name is_operator order_bys qualified_name "
        "schema",
        "LAMBDA": "expr lhs syntax_type",
        "OPERATOR": "children",
        "POSITIONAL_REFERENCE": "index",
        "STAR": "columns exclude_list expr qualified_exclude_list relation_name rename_list replace_list",
        "SUBQUERY": "child comparison_type subquery subquery_type",
        "TYPE": "catalog children qualified_name schema type_name",
        "WINDOW": "arg_orders arguments catalog default_expr distinct end end_expr exclude_clause filter_expr "
        "function_name has_ignore_nulls ignore_nulls offset_expr orders partitions qualified_name schema start "
        "start_expr",
    }.items()
}
RELATIONS = {
    kind: _keys(names)
    for kind, names in {
        "BASE_TABLE": "type alias sample at_clause catalog_name column_name_alias qualified_name schema_name "
        "table_name",
        "EMPTY": "type alias sample",
        "EXPRESSION_LIST": "type alias sample expected_names expected_types values",
        "JOIN": "type alias sample condition delim_flipped duplicate_eliminated_columns is_implicit join_type left "
        "nearest_approx nearest_count nearest_order_type ranking_expression ref_type right using_columns",
        "PIVOT": "type alias sample aggregates column_name_alias groups include_nulls pivots source unpivot_names",
        "SUBQUERY": "type alias sample column_name_alias subquery",
        "TABLE_FUNCTION": "type alias sample column_name_alias function with_ordinality",
    }.items()
}
QUERIES = {
    kind: _keys(f"type modifiers cte_map {names}")
    for kind, names in {
        "SELECT_NODE": "aggregate_handling from_table group_expressions group_sets having qualify sample select_list "
        "where_clause",
        "SET_OPERATION_NODE": "children left right setop_all setop_type",
        "RECURSIVE_CTE_NODE": "aliases cte_name key_targets left right union_all",
    }.items()
}
PARTS = {
    kind: _keys(f"type {names}")
    for kind, names in {
        "DISTINCT_MODIFIER": "distinct_on_targets",
        "LIMIT_MODIFIER": "limit limit_type offset",
        "ORDER_MODIFIER": "orders",
        "ORDER_DEFAULT": "expression null_order",
        "ASCENDING": "expression null_order",
        "DESCENDING": "expression null_order",
    }.items()
}
WITHOUT_A_KIND = {  # by the key under which they stand
    place: _keys(names)
    for place, names in {
        "arguments": "expression name",
        "case_checks": "then_expr when_expr",
        "cte_map": "map",
        "entries": "alias star_expr values",
        "key": "catalog column schema table",
        "qualified_exclude_list": "catalog column schema table",
        "literal": "kind text",
        "map": "key value",
        "pivots": "entries pivot_enum pivot_expressions unpivot_names",
        "qualified_name": "path",
        "rename_list": "key value",
        "replace_list": "key value",
        "sample": "is_percentage method repeatable sample_rate sample_size seed",
        "sample_size": "is_null type value",
        "statements": "named_param_map node",
        "subquery": "named_param_map node",
        "type": "id type_info",
        "value": "aliases key_targets materialized payload_aggregates query_node",
    }.items()
}


def kind_of(node: dict[str, Any], place: str) -> tuple[str, frozenset[str]] | None:
    """The kind of a node that stands under a key, and the keys that it may have; None for one that is not known."""
    kind = node.get("class", node.get("type"))
    if "class" in node:
        known = EXPRESSIONS
    elif isinstance(kind, str) and place != "sample_size":
        known = {**RELATIONS, **QUERIES, **PARTS}
    else:
        kind, known = place, WITHOUT_A_KIND
    return (str(kind), known[kind]) if kind in known else None
