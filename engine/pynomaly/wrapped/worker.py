"""A process beside this one, for work that has to end at once when it is stopped.

A library's fit cannot be interrupted: a thread that has begun it runs to its end. `call` runs a function in another
process instead, looks at the flag of the work at hand while it waits, and kills that process when the flag is set.

The process is this interpreter started anew, without the program that runs here, so it neither needs the guard of
`__main__` that multiprocessing does nor copies threads as a fork does. It is started when it is first needed, which
costs a second or two of imports, and used again until it has rested for five minutes. Pipes carry what it is given
and what it answers, arrays as their bytes; there is no file and no shared memory to be left behind. Its own input
ends when this process does, however that happens, and then it ends too.

Where no process can be started (an interpreter inside another program, a sandbox), the function runs in this one.
"""

import atexit
import os
import pickle
import signal
import struct
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread, Timer
from typing import Any, NamedTuple

from pynomaly import workers
from pynomaly.errors import InternalFailure

REST_SECONDS = 300.0
BOOT = "import sys; sys.path[:] = sys.argv[1:]; from pynomaly.wrapped.worker import serve; serve()"
Failure = tuple[type[BaseException], tuple[Any, ...], list[str]]  # class, arguments, notes
Part = bytes | bytearray | memoryview


class Died(Exception):
    """The process ended before it answered; `code` is its exit code, the negative number of the signal if by one."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}")


class Answer(NamedTuple):
    """What became of a call."""

    result: Any
    failure: Failure | None
    warned: list[tuple[str, type[Warning], str, int]]  # text, category, file, line


def call(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` in another process; all of it must be picklable, the function by its name.

    What the function raises is raised here, what it warns of is warned of here. Raises Interrupted when the work
    at hand is to stop, and Died when the process ends by itself.
    """
    workers.check()
    worker = _pool.take()
    if worker is None:
        return function(*args)
    answer = worker.ask((function, args))
    _pool.put_back(worker)
    for warned in answer.warned:
        warnings.warn_explicit(*warned)
    if answer.failure is not None:
        raise _made(*answer.failure)
    return answer.result


class Worker:
    """One process, of which one thing at a time is asked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and nothing that a user gave
            [sys.executable, "-P", "-c", BOOT, *map(str, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which then stops that one
        )
        self._inlet: Any = self._process.stdin
        self._outlet: Any = self._process.stdout

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask(self, job: tuple[Callable[..., Any], tuple[Any, ...]]) -> Answer:
        """The answer; the process is ended where none comes."""
        answer: Future[Answer] = Future()
        try:
            Thread(target=self._exchange, args=(job, answer), daemon=True).start()
            while not wait([answer], workers.POLL_SECONDS).done:
                workers.check()
            return answer.result()
        except (EOFError, OSError) as error:
            raise Died(self.end()) from error
        except BaseException:
            self.end()
            raise

    def _exchange(self, job: object, answer: Future[Answer]) -> None:
        try:
            _send(self._inlet, _packed(job))
            answer.set_result(_unpacked(_received(self._outlet)))
        except BaseException as error:  # noqa: BLE001 - raised by the thread that asked
            answer.set_exception(error)

    def end(self) -> int:
        """Kill the process if it still runs; its exit code."""
        self._process.kill()
        code = self._process.wait()
        for pipe in (self._inlet, self._outlet):
            with suppress(OSError):
                pipe.close()
        return code


class Pool:
    """The processes that rest. As many run at once as are asked; the one that rested least is asked first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._resting: dict[Worker, Timer] = {}

    def take(self) -> Worker | None:
        """One that rests, or a new one; None where none can be started."""
        with self._lock:
            while self._resting:
                worker, retirement = self._resting.popitem()
                retirement.cancel()
                if worker.is_alive:
                    return worker
                worker.end()
        if not sys.executable or getattr(sys, "frozen", False):
            return None
        try:
            return Worker()
        except OSError:
            return None

    def put_back(self, worker: Worker) -> None:
        """Let one rest, and end it when it has rested for long."""
        retirement = Timer(REST_SECONDS, self._retire, [worker])
        retirement.daemon = True
        with self._lock:
            self._resting[worker] = retirement
            retirement.start()

    def _retire(self, worker: Worker) -> None:
        with self._lock:
            if self._resting.pop(worker, None):
                worker.end()

    def end(self) -> None:
        """End all that rest."""
        with self._lock:
            while self._resting:
                worker, retirement = self._resting.popitem()
                retirement.cancel()
                worker.end()


_pool = Pool()
_of_parents: list[Pool] = []  # kept, so that a fork does not end the processes of the one that it was forked from
atexit.register(lambda: _pool.end())


def _forget() -> None:
    """A fork has no processes yet."""
    global _pool
    _of_parents.append(_pool)
    _pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def serve() -> None:
    """Answer what is asked on standard input, on standard output, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inlet, outlet = _private(0, os.O_RDONLY), _private(1, os.O_WRONLY)
    asked: SimpleQueue[list[bytearray]] = SimpleQueue()
    Thread(target=_listen, args=(inlet, asked), daemon=True).start()
    while True:
        _send(outlet, _answered(asked.get()))


def _private(number: int, mode: int) -> Any:
    """A standard stream of our own; what libraries read there is empty, what they print is lost."""
    own = os.fdopen(os.dup(number), "rb" if mode == os.O_RDONLY else "wb")
    nothing = os.open(os.devnull, mode)
    os.dup2(nothing, number)
    os.close(nothing)
    return own


def _listen(inlet: Any, asked: "SimpleQueue[list[bytearray]]") -> None:
    """Pass on what is asked; end the process, whatever it does, when nobody can ask any more."""
    try:
        while True:
            asked.put(_received(inlet))
    finally:
        os._exit(1)


def _answered(asked: list[bytearray]) -> list[Part]:
    """The answer to a call, in parts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            function, args = _unpacked(asked)
            return _packed(Answer(function(*args), None, _told(caught)))
        except BaseException as error:  # noqa: BLE001 - raised by the process that asked
            return _packed(Answer(None, _portable(error), _told(caught)))


def _told(caught: list[warnings.WarningMessage]) -> list[tuple[str, type[Warning], str, int]]:
    return [(str(warned.message), warned.category, warned.filename, warned.lineno) for warned in caught]


def _portable(error: BaseException) -> Failure:
    """What the error is made of, if that makes it again; one of ours that tells it if not."""
    kind, args = type(error), error.args
    notes = [*getattr(error, "__notes__", ()), "".join(traceback.format_exception(error))]
    try:
        pickle.dumps((kind, args))
        kind(*args)
    except Exception:  # noqa: BLE001 - whatever a library's class raises
        kind, args = InternalFailure, (f"{kind.__name__}: {error}",)
    return kind, args, notes


def _made(kind: type[BaseException], args: tuple[Any, ...], notes: list[str]) -> BaseException:
    """The error that a failure describes."""
    error = kind(*args)
    for note in notes:
        error.add_note(note)
    return error


def _packed(value: object) -> list[Part]:
    """The pickle of a value, and the memory of its arrays, which is not copied."""
    buffers: list[pickle.PickleBuffer] = []
    return [pickle.dumps(value, 5, buffer_callback=buffers.append), *(buffer.raw() for buffer in buffers)]


def _unpacked(parts: Sequence[Part]) -> Any:
    """The value; its arrays keep the memory of the parts."""
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - of a process of ours, over a pipe of ours


def _send(stream: Any, parts: Sequence[Part]) -> None:
    sizes = [memoryview(part).nbytes for part in parts]
    stream.write(struct.pack(f"<{1 + len(sizes)}Q", len(sizes), *sizes))
    for part in parts:
        stream.write(part)
    stream.flush()


def _received(stream: Any) -> list[bytearray]:
    (n,) = struct.unpack("<Q", _read(stream, 8))
    return [_read(stream, size) for size in struct.unpack(f"<{n}Q", _read(stream, 8 * n))]


def _read(stream: Any, size: int) -> bytearray:
    """So many bytes; EOFError where the stream ends before."""
    data = bytearray(size)
    if stream.readinto(data) < size:
        raise EOFError
    return data
