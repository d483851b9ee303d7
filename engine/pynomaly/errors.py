"""The errors of Pynomaly: one root, each with a stable code, an HTTP status and a message that says what to do."""

import difflib
import re
from collections.abc import Iterable

_PASSWORD = re.compile(
    r"(://[^\s:/?#@'\"`]*):[^\s'\"`]*@|([?&][^\s=&'\"`]*pass[^\s=&'\"`]*=)[^\s&'\"`]*", re.IGNORECASE
)


def without_passwords(text: str) -> str:
    """A text in which the addresses of databases have no password any more."""
    return _PASSWORD.sub(lambda found: found[2] or f"{found[1]}@", text) if "://" in text else text


class PynomalyError(Exception):
    """Any error that Pynomaly raises; `cause` says what is wrong, `mend` what to do about it."""

    code = "error"
    status = 500
    at = ""  # the line of a statement that DuckDB shows, with a caret below

    def __init__(self, cause: str, mend: str = "") -> None:
        self.cause = without_passwords(cause)
        self.mend = without_passwords(mend)
        super().__init__(self.cause, self.mend)  # what a copy, or another process, makes the error of again

    def __str__(self) -> str:
        """Code, cause and mend in one sentence."""
        return f"[{self.code}] {self.cause}; {self.mend}" if self.mend else f"[{self.code}] {self.cause}"


class BadParameter(PynomalyError):
    """A parameter is missing, unknown, or outside its declared range."""

    code = "bad_parameter"
    status = 422


class UnknownAlgorithm(PynomalyError):
    """No algorithm has this name."""

    code = "unknown_algorithm"
    status = 404


class AlgorithmUnavailable(PynomalyError):
    """The algorithm needs an optional package that is not installed."""

    code = "algorithm_unavailable"
    status = 422


class FitFailed(PynomalyError):
    """The library behind a wrapped algorithm cannot fit or score these rows."""

    code = "fit_failed"
    status = 422


class UnknownSource(PynomalyError):
    """The source is no table, view, frame or file."""

    code = "unknown_source"
    status = 404


class SourceUnreadable(PynomalyError):
    """The source exists but cannot be read: a file that does not parse, a query that fails."""

    code = "source_unreadable"
    status = 422


class SourceSingleUse(PynomalyError):
    """The source can be read once only, and a detection reads it twice."""

    code = "source_single_use"
    status = 422


class SourceUnavailable(PynomalyError):
    """A source that is served from elsewhere does not answer, or stopped in the middle."""

    code = "source_unavailable"
    status = 503


class SourceRefused(PynomalyError):
    """A source that is served from elsewhere lets nobody in with these credentials."""

    code = "source_refused"
    status = 403


class UnknownColumn(PynomalyError):
    """A named column is not in the source."""

    code = "unknown_column"
    status = 422


class ResultColumnExists(PynomalyError):
    """The source already has a column with the name of a result column."""

    code = "result_column_exists"
    status = 422


class NoUsableColumn(PynomalyError):
    """No column of the source can be used as a feature."""

    code = "no_usable_column"
    status = 422


class TooFewRows(PynomalyError):
    """The source has fewer rows than a detection needs."""

    code = "too_few_rows"
    status = 422


class TooManyRows(PynomalyError):
    """The source has more rows than the algorithm can take."""

    code = "too_many_rows"
    status = 422


class KeyNotUnique(PynomalyError):
    """The key columns do not identify a row."""

    code = "key_not_unique"
    status = 422


class NotExportable(PynomalyError):
    """The model cannot be written in another form."""

    code = "not_exportable"
    status = 422


class ModelEvicted(PynomalyError):
    """The fitted model of a running query is no longer in the cache."""

    code = "model_evicted"
    status = 503


class UnknownModel(PynomalyError):
    """No trained model has this name, or no version of it this number."""

    code = "unknown_model"
    status = 404


class UnknownFeature(PynomalyError):
    """No feature macro has this name."""

    code = "unknown_feature"
    status = 404


class UnknownPipeline(PynomalyError):
    """No pipeline has this name, or no version of it this number."""

    code = "unknown_pipeline"
    status = 404


class ModelNotCommitted(PynomalyError):
    """A model with a pipeline is not committed yet, and a query cannot be planned with its pipeline."""

    code = "model_not_committed"
    status = 409


class NeedsHistory(PynomalyError):
    """A row by itself has no earlier rows, and a step of the model's pipeline reads them."""

    code = "needs_history"
    status = 422


class NotLabelled(PynomalyError):
    """No row says what is true, so nothing can be judged."""

    code = "not_labelled"
    status = 422


class ModelCorrupt(PynomalyError):
    """The bytes of a stored model are damaged, or were never a model."""

    code = "model_corrupt"
    status = 422


class ModelNewer(PynomalyError):
    """The model was stored by a newer release, which knows what this one does not."""

    code = "model_newer"
    status = 409


class ModelUntrusted(PynomalyError):
    """The model runs code when it is read, and is not signed with the key that is here."""

    code = "model_untrusted"
    status = 403


class LibraryChanged(PynomalyError):
    """The model belongs to another version of the library behind it than the one that is installed."""

    code = "library_changed"
    status = 409


class ModelNotStorable(PynomalyError):
    """The model cannot score rows that it was not fitted to, or its algorithm cannot be stored."""

    code = "model_not_storable"
    status = 422


class UnknownKey(PynomalyError):
    """No scored row of the run has this key."""

    code = "unknown_key"
    status = 404


class UnknownDetector(PynomalyError):
    """No detector has this name."""

    code = "unknown_detector"
    status = 404


class UnknownSetting(PynomalyError):
    """No setting has this name."""

    code = "unknown_setting"
    status = 404


class UnknownObject(PynomalyError):
    """No source, model, run or snapshot of the catalogue is called so."""

    code = "unknown_object"
    status = 404


class ModelNotKept(PynomalyError):
    """The run has no model that could be asked: its algorithm cannot be stored, or it fitted several."""

    code = "model_not_kept"
    status = 409


class SourceChanged(PynomalyError):
    """The source of a run has other rows than it had when they were scored."""

    code = "source_changed"
    status = 409


class Conflict(PynomalyError):
    """Another connection changed the same rows first; nothing of this change was kept."""

    code = "conflict"
    status = 409


class CatalogNewer(PynomalyError):
    """The database's catalogue was written by a newer release."""

    code = "catalog_newer"
    status = 409


class CatalogOlder(PynomalyError):
    """The database's catalogue is of an older release and cannot be upgraded, since it is open read-only."""

    code = "catalog_older"
    status = 409


class CatalogChanged(PynomalyError):
    """The database's catalogue was made by other statements than this release has."""

    code = "catalog_changed"
    status = 409


class ModelKeyUnavailable(PynomalyError):
    """The key that signs models cannot be read or made."""

    code = "model_key_unavailable"
    status = 422


class UnknownRun(PynomalyError):
    """A run does not exist."""

    code = "unknown_run"
    status = 404


class RunNotSaved(PynomalyError):
    """A run was recorded without its results, or without what the question needs."""

    code = "run_not_saved"
    status = 409


class RunsNotComparable(PynomalyError):
    """Two runs do not tell their rows apart by the same key."""

    code = "runs_not_comparable"
    status = 409


class UnknownDataset(PynomalyError):
    """No dataset has this name, or no version of it this number or age."""

    code = "unknown_dataset"
    status = 404


class AmbiguousSource(PynomalyError):
    """A bare name is that of a dataset and of something else that the query sees."""

    code = "ambiguous_source"
    status = 409


class DatasetInUse(PynomalyError):
    """Something depends on the dataset that was to be removed."""

    code = "dataset_in_use"
    status = 409


class RowsMalformed(PynomalyError):
    """Rows of a file cannot be read, and a strict load takes all or none."""

    code = "rows_malformed"
    status = 422


class PackageMissing(PynomalyError):
    """A format or a service needs an optional package that is not installed."""

    code = "package_missing"
    status = 422


class StorageFull(PynomalyError):
    """The disk has no room for what is being written; nothing of it was kept."""

    code = "storage_full"
    status = 507


class UnknownRules(PynomalyError):
    """No set of rules has this name."""

    code = "unknown_rules"
    status = 404


class ValidationFailed(PynomalyError):
    """The source breaks rules of severity error, and had to be valid."""

    code = "validation_failed"
    status = 422


class WorkspaceMissing(PynomalyError):
    """A snapshot is needed and the database has no folder for it."""

    code = "workspace_missing"
    status = 409


class NotWritten(PynomalyError):
    """A file, of the database or beside it, cannot be written."""

    code = "not_written"
    status = 507


class Interrupted(PynomalyError):
    """The query was interrupted."""

    code = "interrupted"
    status = 499


class ReadOnlyDatabase(PynomalyError):
    """The statement writes and the database was opened read-only."""

    code = "read_only_database"
    status = 409


class DatabaseLocked(PynomalyError):
    """Another process holds the database file."""

    code = "database_locked"
    status = 409


class DatabaseUnreadable(PynomalyError):
    """The database file cannot be opened."""

    code = "database_unreadable"
    status = 422


class TransactionAborted(PynomalyError):
    """An error inside the transaction undid it; nothing of it was kept."""

    code = "transaction_aborted"
    status = 409


class OutOfMemory(PynomalyError):
    """The query needs more memory than the limit allows."""

    code = "out_of_memory"
    status = 507


class InvalidSql(PynomalyError):
    """The statement is not valid SQL, or fails while it runs."""

    code = "invalid_sql"
    status = 422


class AccessDenied(PynomalyError):
    """The user may not do this, or not name this."""

    code = "access_denied"
    status = 403


class QueryTooLong(PynomalyError):
    """The query took longer than it may."""

    code = "query_timeout"
    status = 422


class InternalFailure(PynomalyError):
    """Something inside Pynomaly, or a library under it, failed in a way that it should not."""

    code = "internal_failure"
    status = 500


class EngineClosed(PynomalyError):
    """The engine or cursor was closed."""

    code = "engine_closed"
    status = 409


def shown_line(error: Exception) -> str:
    """The line of a statement that DuckDB repeats below its message, with a caret below; empty where there is none."""
    found = re.search(r"\n\s*\n(LINE \d+:.*)", str(error), re.DOTALL)
    return found[1] if found else ""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """The clause that offers the nearest of `candidates`, or lists a few of them when none is near."""
    options = sorted(set(candidates))
    lowered = {option.lower(): option for option in options}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if near:
        return "did you mean " + " or ".join(f"`{option}`" for option in near) + "?"
    shown = ", ".join(f"`{option}`" for option in options[:10])
    return f"there are {shown}{', ...' if len(options) > 10 else ''}" if options else ""
