"""What DuckDB is told of the functions of the macros: their names, what they return, and which have side effects."""

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from pynomaly.catalog.datasets import DatasetFunctions
from pynomaly.catalog.evaluations import EvaluationFunctions
from pynomaly.catalog.explanations import ExplanationFunctions
from pynomaly.catalog.functions import CatalogFunctions
from pynomaly.catalog.pipelines import PipelineFunctions
from pynomaly.catalog.profiles import ProfileFunctions
from pynomaly.catalog.records import RecordFunctions
from pynomaly.catalog.runs import RunFunctions
from pynomaly.catalog.upkeep import UpkeepFunctions
from pynomaly.catalog.validations import ValidationFunctions
from pynomaly.functions import Functions, Session
from pynomaly.schema import (
    ALGORITHM,
    COMPARED,
    DESCRIPTION,
    FITTED,
    PARAMETER,
    REASON,
    RULE,
    SCORED,
    SETTING,
    TRAINED,
    WORKSPACE_FILE,
    sql_type,
)


def register(con: duckdb.DuckDBPyConnection, session: Session) -> None:
    """Register every function once for a database instance."""
    pipelines = PipelineFunctions(session)
    functions, catalog = Functions(session, pipelines), CatalogFunctions(session, pipelines)
    runs = RunFunctions(session)
    evaluations = EvaluationFunctions(session, runs)
    explanations = ExplanationFunctions(session, catalog, runs)
    records, upkeep = RecordFunctions(session), UpkeepFunctions(session)
    datasets = DatasetFunctions(session)
    # `_score` is volatile so that a filter on its result is not pushed below it, where it would score twice.
    for function, returns, volatile in (
        (functions.source, "varchar", False),
        (functions.options, "varchar", False),
        (functions.checked_rows, "bigint", False),
        (functions.fit, sql_type(FITTED), True),
        (functions.score, "double", True),
        (functions.reasons, f"{sql_type(REASON)}[]", False),
        (functions.comparison, "varchar", False),
        (functions.compare, f"{sql_type(COMPARED)}[]", True),
        (functions.describe, f"{sql_type(DESCRIPTION)}[]", False),
        (functions.session, "varchar", False),
        (functions.algorithms, f"{sql_type(ALGORITHM)}[]", False),
        (functions.threshold_rules, f"{sql_type(RULE)}[]", False),
        (functions.algorithm_parameters, f"{sql_type(PARAMETER)}[]", False),
        (catalog.catalog, "varchar", False),
        (catalog.who, "varchar", True),
        (catalog.train, sql_type(TRAINED), True),
        (catalog.model_version, "integer", False),
        (catalog.model_name, "varchar", False),
        (catalog.model_stage, "varchar", False),
        (catalog.former_champion, "integer", False),
        (catalog.model_file, "varchar", False),
        (catalog.checked_model, "varchar", False),
        (catalog.detector_sql, "varchar", False),
        (catalog.row_score, "double", True),
        (catalog.scored_row, sql_type(SCORED), True),
        (catalog.load_model, sql_type(FITTED), True),
        (catalog.model_pipeline, "varchar", False),
        (catalog.scored_source, "varchar", False),
        (runs.run_id, "varchar", False),
        (runs.saved_results, "varchar", False),
        (runs.said_labels, "varchar", False),
        (runs.run_source, "varchar", False),
        (runs.replay, "varchar", False),
        (runs.changed_libraries, "varchar[]", False),
        (runs.seen_run, "varchar", False),
        (runs.comparable, "boolean", False),
        (datasets.loaded, "boolean", True),
        (datasets.address, "varchar", False),
        (datasets.dataset_name, "varchar", False),
        (datasets.version_rows, "varchar", False),
        (datasets.version_changes, "varchar", False),
        (evaluations.judged_rows, "varchar", False),
        (evaluations.anomaly_label, "double", False),
        *pipelines.listed(),
        *explanations.listed(),
        *ValidationFunctions(session).listed(),
        *ProfileFunctions(session).listed(),
        (runs.recorded_id, "varchar", False),
        (records.labelled_key, "varchar", False),
        (records.label, "varchar", False),
        (records.object_names, "varchar[]", False),
        (records.versions_prefix, "varchar", False),
        (records.known_objects, "varchar[]", False),
        (records.detector_name, "varchar", False),
        (records.detector_options, "varchar", False),
        (records.present_detector, "varchar", False),
        (upkeep.settings, f"{sql_type(SETTING)}[]", False),
        (upkeep.setting_value, "varchar", False),
        (upkeep.interval, "varchar", False),
        (upkeep.workspace_files, f"{sql_type(WORKSPACE_FILE)}[]", True),
    ):
        con.create_function(
            "_" + function.__name__,
            _variadic(function),
            None,
            returns,
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
            side_effects=volatile,
        )


def _variadic(function: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
    """A function without named parameters: DuckDB types such a function by its call."""

    def call(*args: Any) -> pa.Array:
        return function(*args)

    return call
