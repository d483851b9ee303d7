"""From what DuckDB raises to a PynomalyError with code, cause and mend."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb

from pynomaly import errors
from pynomaly.errors import PynomalyError, did_you_mean, shown_line
from pynomaly.source import RESULT_COLUMNS, csv_error, first_line, result_column_exists

Names = Callable[[], Iterable[str]]
_CONFLICT = re.compile(
    r"Failed to commit|[Cc]onflict on|write-write conflict|"
    r"Duplicate key \"(?:name|run_id): .*, (?:version|number): "
)


def translate(error: Exception, names: Names = tuple) -> PynomalyError:
    """The Pynomaly error behind an exception of DuckDB; `names` lists the tables that could have been meant."""
    if isinstance(error, PynomalyError):
        return error
    text = re.split(r"\n\s*\nLINE \d+:", str(error))[0]  # DuckDB repeats the statement below its message
    found = _raised_by_us(text) or _by_text(text, names) or _by_class(error)
    found.at = shown_line(error)
    return found


def without_paths(error: PynomalyError, workspace: Path | None) -> PynomalyError:
    """An error for somebody who need not know where a server has its files."""
    if workspace is None:
        return error
    folder = str(workspace)
    database = folder.removesuffix(".files")
    told = [text.replace(folder, "workspace").replace(database, "database") for text in (error.cause, error.mend)]
    found = type(error)(*told)
    found.at = error.at
    return found


def _raised_by_us(text: str) -> PynomalyError | None:
    """An error of our own that came through a function: only its text survives, code first."""
    found = re.search(r"^(?:.*executing the UDF: \w+: |Invalid Input Error: )?\[([a-z_]+)\] (.*)", text, re.DOTALL)
    classes = {cls.code: cls for cls in PynomalyError.__subclasses__()}
    if found is None or found[1] not in classes:
        return None
    cause, _, mend = found[2].rpartition("; ")
    return classes[found[1]](cause, mend) if cause else classes[found[1]](mend)


def _by_text(text: str, names: Names) -> PynomalyError | None:
    """The errors of DuckDB that have a name and a better mend here."""
    if found := re.search(r'Table with name "?(.+?)"? does not exist', text):
        return errors.UnknownSource(
            f"source `{found[1]}` not found", did_you_mean(found[1], names()) or "give a table, view, frame or file"
        )
    if found := re.search(r'[Cc]olumn "(.+?)" (?:in EXCLUDE list )?not found', text):
        nearest = re.findall(r'"([^"]+)"', text.partition("Candidate bindings:")[2].partition("\n")[0])
        near = did_you_mean(found[1], nearest).replace("there are", "the nearest are")  # DuckDB lists no others
        return errors.UnknownColumn(f"column `{found[1]}` not found", near)
    if (found := re.search(r'Duplicate named argument "(\w+)"', text)) and found[1] in RESULT_COLUMNS:
        return result_column_exists([found[1]])
    if (found := re.search(r'Duplicate named argument "(_pynomaly_\w+)"', text)) is not None:
        return errors.BadParameter(f"column `{found[1]}` has a name that Pynomaly needs", "rename that column")
    if found := re.search(r'No files found that match the pattern "(.+?)"', text):
        return errors.UnknownSource(f"file `{found[1]}` does not exist", "check the path")
    if found := re.search(
        r"Macro (\w+)\(\) does not support the supplied arguments.*?\n\s+\w+\((.+)\)", text, re.DOTALL
    ):
        return errors.BadParameter(
            f"`{found[1]}` was called with parameters that it does not take", f"it takes {found[2]}"
        )
    if (unparsed := csv_error(text)) is not None:
        return unparsed
    if "not suitable for replacement scans" in text:
        return errors.UnknownSource(first_line(Exception(text)), "give a data frame, an Arrow table or a file")
    if re.search(r"No space left on device|File too large|Disk quota exceeded", text):
        inner = re.search(r'"exception_message":"((?:[^"\\]|\\.)*)"', text)  # of a write that went on in the background
        cause = inner[1].replace('\\"', "`") if inner else first_line(Exception(text))
        return errors.StorageFull(cause, "free some space, or name another folder as workspace")
    if "infinite recursion detected" in text:
        return errors.SourceUnreadable(
            "a view over a detection cannot be the source of another", "create a table from it and detect in that"
        )
    if "lock on file" in text:  # which proposes the read-only mode
        told = first_line(Exception(text)).partition(". See also")[0]
        return errors.DatabaseLocked(told, "wait for the other process, or close it")
    if found := re.search(r'Could not write file \\*"(.+?)\\*": ([\w ]+)', text):
        return errors.NotWritten(f"`{found[1]}` cannot be written: {found[2]}", "make room for it and run it again")
    if "read-only mode" in text:
        return errors.ReadOnlyDatabase("the database is open read-only", "open it without read_only")
    if _CONFLICT.search(text):
        return errors.Conflict("another connection changed the same rows first", "run the statement again")
    if "transaction is aborted" in text:
        return errors.TransactionAborted("an earlier error undid this transaction", "roll back and run it again")
    return None


def _by_class(error: Exception) -> PynomalyError:
    text = first_line(error)
    if "Python exception occurred" in text:
        cause = text.partition("UDF: ")[2]
        return errors.InternalFailure(f"a function failed ({cause})", "report it with the statement and its data")
    if isinstance(error, duckdb.InterruptException) or "Query interrupted" in text:
        return errors.Interrupted("the query was interrupted", "run it again")
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        return errors.OutOfMemory(text, "raise memory_limit or lower sample_rows")
    if isinstance(error, duckdb.ResourceInUseException):
        return errors.InvalidSql("an earlier statement has rows that were not fetched", "fetch them, or use a cursor()")
    if isinstance(error, duckdb.ConnectionException) and "closed" in text:
        return errors.EngineClosed("the engine is closed", "open it again with pynomaly.connect")
    return errors.InvalidSql(text, _hint(str(error)))


def _hint(text: str) -> str:
    """What DuckDB itself proposes, or how a value of the wrong type came in."""
    if found := re.search(r"^Did you mean (.+)\?$", text, re.MULTILINE):
        return "did you mean " + found[1].replace('"', "`") + "?"
    if "Failed to cast value" in text:
        return "correct the statement, and give data frames with columns of one type each"
    return "correct the statement"
