"""The errors that only a server has."""

from pynomaly.errors import PynomalyError


class Unauthenticated(PynomalyError):
    """Nobody is signed in, or the credential is not, or no longer, one."""

    code = "unauthenticated"
    status = 401


class Forbidden(PynomalyError):
    """Who is signed in may not do this."""

    code = "forbidden"
    status = 403


class NotFound(PynomalyError):
    """Nothing is served under this address."""

    code = "not_found"
    status = 404


class MethodNotAllowed(PynomalyError):
    """The address does not know this method."""

    code = "method_not_allowed"
    status = 405


class BadRequest(PynomalyError):
    """A request that cannot be read at all."""

    code = "bad_request"
    status = 400


class BodyInvalid(PynomalyError):
    """A body or a parameter that does not have the form that the endpoint wants."""

    code = "body_invalid"
    status = 422

    def __init__(self, cause: str, mend: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(cause, mend)
        self.errors = errors or []


class BodyTooLarge(PynomalyError):
    """A body with more bytes than the endpoint takes."""

    code = "body_too_large"
    status = 413


class UnsupportedMediaType(PynomalyError):
    """A body in a form that the endpoint does not read."""

    code = "unsupported_media_type"
    status = 415


class KeyReused(PynomalyError):
    """An Idempotency-Key that stands for another request."""

    code = "idempotency_key_reused"
    status = 422


class InProgress(PynomalyError):
    """A request with the same Idempotency-Key is being answered."""

    code = "request_in_progress"
    status = 409


class Draining(PynomalyError):
    """The server is being stopped."""

    code = "draining"
    status = 503


class NoAccounts(PynomalyError):
    """A public address is to be served, and nobody has an account."""

    code = "no_accounts"
    status = 409


class TooManyJobs(PynomalyError):
    """The queue of jobs has no room for another one."""

    code = "too_many_jobs"
    status = 429

    def __init__(self, cause: str, mend: str = "ask again when some of them have ended") -> None:
        super().__init__(cause, mend)
        self.headers = {"Retry-After": "10"}


class JobLost(PynomalyError):
    """The server stopped again and again while the job ran."""

    code = "job_lost"
    status = 500


class UnknownJob(PynomalyError):
    """The caller has no job of this id."""

    code = "unknown_job"
    status = 404


class RowsUnreadable(PynomalyError):
    """A body that does not hold rows in the form that its media type says."""

    code = "rows_unreadable"
    status = 422


class PreconditionRequired(PynomalyError):
    """A change that must name the version that it changes."""

    code = "precondition_required"
    status = 428


class PreconditionFailed(PynomalyError):
    """A change of a version that is no longer the last one."""

    code = "precondition_failed"
    status = 412
