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
