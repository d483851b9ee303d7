"""Sign-ins that are live: sessions of the console by cookie, families of tokens by access and refresh token."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import jwt
import msgspec
from msgspec.structs import replace

from pynomaly_server.accounts import secret
from pynomaly_server.accounts.records import Clock, Session, SigningKey
from pynomaly_server.accounts.store import Store
from pynomaly_server.errors import RefreshReused, Unauthenticated

ACCESS = timedelta(minutes=15)
REFRESH = timedelta(days=30)
IDLE = timedelta(hours=12)
CONSOLE = timedelta(days=7)
MOST = 100  # live sign-ins of one user; another one ends the oldest
MINUTE = timedelta(minutes=1)
ISSUER = "pynomaly"
_LONGEST = 2048
_REMEMBERED = 4096
_CLAIMS = ["sub", "sid", "jti", "iat", "exp", "iss", "aud"]


class Tokens(msgspec.Struct, frozen=True):
    """What a program signs its requests with."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105


class Sessions:
    """The sign-ins that are live. An access token is worth no more than the session that it names."""

    def __init__(self, store: Store, clock: Clock, key: SigningKey) -> None:
        self._store, self._clock, self._key = store, clock, key.secret
        now = clock()
        live = store.load(Session, "ended_at is null and expires_at > ?", (now,))
        self._live = {session.id: session for session in live}
        self._by_cookie = {session.digest: session.id for session in live if session.kind == "session"}
        self._verified: dict[str, tuple[str, str, float]] = {}

    def open_console(self, user: str) -> tuple[Session, str]:
        """A new session of the console, and its cookie."""
        cookie = secret.new(secret.COOKIE)
        return self._open(user, "session", secret.digest(cookie), CONSOLE), cookie

    def open_family(self, user: str) -> Tokens:
        """The first tokens of a sign-in."""
        with self._store.lock:
            session = self._open(user, "token", "", REFRESH)
            return self._next_tokens(session)

    def refresh(self, token: str) -> Tokens:
        """New tokens for the last refresh token; one that was used before ends the whole sign-in."""
        identifier, number, known = self._read_refresh(token)
        with self._store.lock:
            session = self._live.get(identifier)
            if not known or session is None or session.kind != "token" or self._is_over(session):
                raise Unauthenticated("the refresh token is none, or is over", "sign in again")
            if number != session.number or not secret.same(secret.digest(token), session.digest):
                self.end(session.id, "a refresh token was used twice")
                raise RefreshReused(session.user_name)
            return self._next_tokens(session)

    def of_access(self, token: str) -> Session:
        """The live session of an access token; raises Unauthenticated."""
        claims = self._verified.get(token) or self._verify(token)
        session = self._live.get(claims[0])
        if session is None or session.user_name != claims[1] or self._clock().timestamp() >= claims[2]:
            raise Unauthenticated("the access token is over", "get another one by POST /api/v1/auth/refresh")
        return session

    def of_cookie(self, cookie: str) -> Session:
        """The live session of a cookie; raises Unauthenticated."""
        session = self._live.get(self._by_cookie.get(secret.digest(cookie), ""))
        if session is None or self._is_over(session):
            raise Unauthenticated("the session is over", "sign in again")
        if self._clock() - session.used_at >= MINUTE:
            with self._store.if_free() as is_free:
                if is_free and session.id in self._live:  # it may have ended since
                    self._live[session.id] = replace(session, used_at=self._clock())
                    self._store.note(self._live[session.id])
        return session

    def csrf_token(self, session: str) -> str:
        """What a page of this session sends along with every change."""
        return secret.CSRF + secret.seal(self._key, f"csrf {session}")

    def end(self, session: str, because: str) -> None:
        """End one sign-in: its cookie, its refresh token and its access tokens are worth nothing at once."""
        self._end([session], because)

    def end_of(self, user: str, because: str) -> None:
        """End every sign-in of a user."""
        with self._store.lock:
            self._end([item.id for item in self._live.values() if item.user_name == user], because)

    def is_live(self, session: str) -> bool:
        """Whether a sign-in is live: what stays open for long asks again and again."""
        found = self._live.get(session)
        return found is not None and not self._is_over(found)

    def sweep(self) -> None:
        """End what is over, and forget what ended a refresh token's life ago."""
        with self._store.lock:
            self._end([item.id for item in self._live.values() if self._is_over(item)], "it was over")
            self._store.delete(Session, "ended_at < ?", (self._clock() - REFRESH,))

    def _end(self, sessions: list[str], because: str) -> None:
        """End sign-ins: in memory first, so that they are worth nothing whatever becomes of the file."""
        with self._store.lock:
            ended = [self._live.pop(session) for session in sessions if session in self._live]
            for session in ended:
                self._by_cookie.pop(session.digest, None)
            if ended:
                now = self._clock()
                self._store.save(*(replace(session, ended_at=now, ended_because=because) for session in ended))

    def _open(self, user: str, kind: str, digest: str, life: timedelta) -> Session:
        now = self._clock()
        session = Session(uuid.uuid4().hex, user, kind, digest, 0, now, now, now + life)
        with self._store.lock:
            mine = [item for item in self._live.values() if item.user_name == user]
            if len(mine) >= MOST:
                self.end(min(mine, key=lambda item: item.used_at).id, "too many sign-ins of one user")
            self._keep(session)
            if kind == "session":
                self._by_cookie[digest] = session.id
        return session

    def _next_tokens(self, session: Session) -> Tokens:
        number = session.number + 1
        plain = f"{secret.new(secret.REFRESH)}_{session.id}_{number}"
        token = f"{plain}_{secret.seal(self._key, plain)}"
        now = self._clock()
        self._keep(replace(session, number=number, digest=secret.digest(token), used_at=now))
        return Tokens(self._access_token(session, now), token, int(ACCESS.total_seconds()))

    def _access_token(self, session: Session, now: datetime) -> str:
        ends = min(now + ACCESS, session.expires_at)
        claims: dict[str, Any] = {"sub": session.user_name, "sid": session.id, "jti": uuid.uuid4().hex}
        claims |= {"iat": int(now.timestamp()), "exp": int(ends.timestamp()), "iss": ISSUER, "aud": ISSUER}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def _verify(self, token: str) -> tuple[str, str, float]:
        """Session, user and end that a token names; remembered, since a signature takes longer than all the rest."""
        try:
            if len(token) > _LONGEST:
                raise jwt.InvalidTokenError
            options: Any = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False}  # by the clock of the server
            claims = jwt.decode(token, self._key, ["HS256"], options, audience=ISSUER, issuer=ISSUER)
            found = (str(claims["sid"]), str(claims["sub"]), float(claims["exp"]))
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated("the access token is none of this server", "sign in again") from None
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[token] = found
        return found

    def _read_refresh(self, token: str) -> tuple[str, int, bool]:
        """Session and number of a refresh token, and whether this server made it."""
        plain, _, sealed = token[:_LONGEST].rpartition("_")
        parts = plain.split("_")
        if len(parts) != 4 or not secret.same(secret.seal(self._key, plain), sealed):
            return "", 0, False
        return parts[2], int(parts[3]), True

    def _is_over(self, session: Session) -> bool:
        now = self._clock()
        return now >= session.expires_at or (session.kind == "session" and now - session.used_at >= IDLE)

    def _keep(self, session: Session) -> None:
        self._store.save(session)
        self._live[session.id] = session
