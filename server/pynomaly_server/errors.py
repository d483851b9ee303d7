"""The errors that only a server has."""

import math

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


class PreconditionRequired(PynomalyError):
    """A change that must name the version that it changes."""

    code = "precondition_required"
    status = 428


class PreconditionFailed(PynomalyError):
    """A change of a version that is no longer the last one."""

    code = "precondition_failed"
    status = 412


class RetryLater(PynomalyError):
    """Too much was asked for; `Retry-After` says when it may be asked again."""

    code = "retry_later"
    status = 429

    def __init__(self, cause: str, mend: str, seconds: float) -> None:
        super().__init__(cause, mend)
        self.headers = {"Retry-After": str(max(1, math.ceil(seconds)))}


class TooManyAttempts(RetryLater):
    """Signing in failed too often, or too many sign in at once."""

    code = "too_many_attempts"


class RateLimited(RetryLater):
    """A user, a key or an address sent more requests than it may."""

    code = "rate_limited"


class RefreshReused(PynomalyError):
    """A refresh token was used twice: it was copied, so everything that came of the sign-in ends."""

    code = "refresh_token_reused"
    status = 401

    def __init__(self, user: str) -> None:
        super().__init__("the refresh token was used before, so the sign-in is ended", "sign in again")
        self.user = user


class WeakPassword(PynomalyError):
    """A text that may not be a password."""

    code = "weak_password"
    status = 422


class UserExists(PynomalyError):
    """A user has this name, or had it."""

    code = "user_exists"
    status = 409


class UnknownUser(PynomalyError):
    """No user has this name."""

    code = "unknown_user"
    status = 404


class LastAdministrator(PynomalyError):
    """Nobody could administer the server any more."""

    code = "last_administrator"
    status = 409


class UnknownKey(PynomalyError):
    """No API key has this id."""

    code = "unknown_api_key"
    status = 404


class TooManyKeys(PynomalyError):
    """A user has as many API keys as one may have."""

    code = "too_many_api_keys"
    status = 409


class UnknownLink(PynomalyError):
    """A sign-in link that is none, was used, or is over."""

    code = "unknown_link"
    status = 404


class AdministratorExists(PynomalyError):
    """The link for the first administrator is asked for, and there is one."""

    code = "administrator_exists"
    status = 409


class UntrustedHost(PynomalyError):
    """The header Host names a host that this server does not serve."""

    code = "untrusted_host"
    status = 400


class ForeignOrigin(PynomalyError):
    """A page of another site asks, with the cookie of this one."""

    code = "foreign_origin"
    status = 403


class CsrfFailed(PynomalyError):
    """A change with the cookie alone: the token that only the page has is missing or wrong."""

    code = "csrf_failed"
    status = 403


class NotAcceptable(PynomalyError):
    """None of the formats that the request accepts is one that rows are written in."""

    code = "not_acceptable"
    status = 406


class BadCursor(PynomalyError):
    """The cursor of a page is damaged, or belongs to another list, filter or order."""

    code = "bad_cursor"
    status = 422


class UploadTooLarge(PynomalyError):
    """A file that is uploaded, or what it unpacks to, has more bytes than are allowed."""

    code = "upload_too_large"
    status = 413


class UnknownUpload(PynomalyError):
    """There is no upload of this user under the id, or it has expired."""

    code = "unknown_upload"
    status = 404


class AddressRefused(PynomalyError):
    """A source is at an address that the server does not read from."""

    code = "address_refused"
    status = 403


class UnknownQuery(PynomalyError):
    """The caller asked no query of this id."""

    code = "unknown_query"
    status = 404
