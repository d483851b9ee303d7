"""The order in which jobs start: the user with the fewest running, of these the one longest without a turn."""

from collections import Counter, deque

from pynomaly_server.errors import TooManyJobs
from pynomaly_server.jobs.work import Work

MOST_WAITING = 20_000  # jobs of all users


class Waiting:
    """The jobs that wait, by user; whoever calls holds the lock of the pool."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[tuple[int, Work]]] = {}
        self._n_added = 0
        self._n_taken = 0
        self._last_turns: dict[str, int] = {}
        self.running: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    def check(self, user: str, n: int, most_of_one: int) -> None:
        """Raise TooManyJobs unless so many jobs of a user have room."""
        if len(self._queues.get(user, ())) + n > most_of_one:
            raise TooManyJobs(f"`{user}` has {most_of_one:,} jobs waiting, which is the most")
        if len(self) + n > MOST_WAITING:
            raise TooManyJobs(f"{MOST_WAITING:,} jobs are waiting, which is the most")

    def add(self, work: Work) -> None:
        """Let a job wait."""
        self._n_added += 1
        self._queues.setdefault(work.job.created_by, deque()).append((self._n_added, work))

    def take(self) -> Work | None:
        """The job that starts next."""
        if not self._queues:
            return None
        user = min(self._queues, key=self._precedence)
        work = self._queues[user].popleft()[1]
        self._forget_empty(user)
        self.running[user] += 1
        self._n_taken += 1
        self._last_turns[user] = self._n_taken
        return work

    def remove(self, work: Work) -> bool:
        """Take a job out that shall not start; whether it was waiting."""
        user = work.job.created_by
        queue = self._queues.get(user, deque())
        kept = deque(item for item in queue if item[1] is not work)
        if len(kept) == len(queue):
            return False
        self._queues[user] = kept
        self._forget_empty(user)
        return True

    def end(self, work: Work) -> None:
        """Note that a job that was taken runs no more."""
        user = work.job.created_by
        self.running[user] -= 1
        if self.running[user] <= 0:
            del self.running[user]

    def _precedence(self, user: str) -> tuple[int, int, int]:
        # without the last turn one worker alone, which has nothing running when it asks, would go by age
        return self.running[user], self._last_turns.get(user, 0), self._queues[user][0][0]

    def _forget_empty(self, user: str) -> None:
        if not self._queues[user]:
            del self._queues[user]
