"""The peak of this process's memory over a stretch of work, where the kernel tells it."""

from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


class PeakMemory:
    """From its making on: how far the resident memory rose above where it began."""

    def __init__(self) -> None:
        self._start = _reset()

    def rise(self) -> int | None:
        """The rise in bytes; None where the kernel cannot tell. Other work of the process counts too."""
        peak = _field("VmHWM")
        return None if self._start is None or peak is None else max(peak - self._start, 0)


def _reset() -> int | None:
    """Set the peak to what is in use now, and return that."""
    try:
        _CLEAR.write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return None
    return _field("VmRSS")


def _field(name: str) -> int | None:
    """A size of the process's status, in bytes."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")]
    return sizes[0] if sizes else None
