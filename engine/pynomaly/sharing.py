"""Whose eyes an engine has, and what a person shares with others."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import duckdb

from pynomaly import access
from pynomaly.catalog.migrations import migrate
from pynomaly.errors import AccessDenied, BadParameter, UnknownObject
from pynomaly.quoting import literal
from pynomaly.result import Rows, Share

if TYPE_CHECKING:
    from pynomaly.session import Session

EVERYBODY = "*"
_LATEST = """
select grantee, arg_max(created_at, number), arg_max(created_by, number)
from pynomaly.shares
where kind = ? and name = ?
group by grantee
having not arg_max(revoked, number)
order by grantee
"""
_CHANGE = """
insert into pynomaly.shares (kind, name, grantee, number, revoked, created_by)
select $kind, $name, $grantee, coalesce(max(number), 0) + 1, $revoked, $who
from pynomaly.shares
where kind = $kind and name = $name and grantee = $grantee
having coalesce(arg_max(revoked, number), true) <> $revoked
"""


class Sharing:
    """The methods of the engine by which a server says for whom it works, and people say who sees what is theirs."""

    _con: duckdb.DuckDBPyConnection
    _session: "Session"
    _user: str | None
    execute: Callable[..., Rows]
    _guard: Callable[..., Any]

    def act_as(self, actor: str, sees_all: bool, request_id: str | None = None) -> None:
        """Work for somebody from now on: what is made is theirs, and unless told they see theirs and what is shared.

        What this engine opens from now on works for them too. `request_id` goes into the query log.
        """
        if not isinstance(actor, str):
            raise BadParameter(f"the actor is {actor!r}", "give the name of a user, or '' for somebody unknown")
        if self._acting == (actor, sees_all, request_id):
            return
        self._acting, self._user = None, actor  # until all is set
        user = None if sees_all else actor
        values = {"user": user, "actor": actor, "request": request_id}
        self._guard(
            lambda: self._con.execute(
                ";".join(f"set variable pynomaly_{name} = {literal(value)}" for name, value in values.items())
            )
        )
        self._user, self._acting = user, (actor, sees_all, request_id)

    _acting: tuple[str, bool, str | None] | None = None

    def who(self) -> str:
        """Who is written down as having made what this engine makes."""
        return str(self.execute("select _who(_actor())").fetchall()[0][0])

    def check_owned(self, kind: str, name: object) -> None:
        """Refuse a change under a name of somebody else's: AccessDenied, or Conflict where the user does not see it."""
        if self._user is not None:
            self._guard(lambda: access.check_owned(self._con, kind, name))

    def check_sees_all(self, what: str) -> None:
        """Raise AccessDenied for a user who does not see everything."""
        if self._user is not None:
            raise AccessDenied(f"{what} by administrators alone", "ask one")

    def owner(self, kind: str, name: str) -> str | None:
        """Who owns a dataset, model, detector, pipeline or set of rules (`rules`); None for a name that is free."""
        found: str | None = self._guard(lambda: access.owner(self._con, kind, name))
        return found

    def share(self, kind: str, name: str, grantee: str = EVERYBODY) -> None:
        """Let another user, or everybody, see a dataset, model or detector; only its owner may."""
        self._change_share(kind, name, grantee, False)

    def unshare(self, kind: str, name: str, grantee: str = EVERYBODY) -> None:
        """Take back what `share` gave to this grantee."""
        self._change_share(kind, name, grantee, True)

    def shares(self, kind: str, name: str) -> list[Share]:
        """With whom a dataset, model or detector is shared; its owner may ask."""
        self._check_shareable(kind, name)
        return [Share(*row) for row in self.execute(_LATEST, [kind, name]).fetchall()]

    def _change_share(self, kind: str, name: str, grantee: str, revoked: bool) -> None:
        if not isinstance(grantee, str) or not grantee.strip():
            raise BadParameter(f"the grantee is {grantee!r}", "give the name of a user, or * for everybody")
        self._guard(lambda: migrate(self._con))
        self._check_shareable(kind, name)
        values = {"kind": kind, "name": name, "grantee": grantee, "revoked": revoked, "who": self.who()}
        self.execute(_CHANGE, values).fetchall()

    def _check_shareable(self, kind: str, name: str) -> None:
        """Refuse what cannot be shared, what is not there or not seen, and what is somebody else's."""
        access.check_kind(kind)
        owner, who = self.owner(kind, name), self._user
        if owner is None or (who is not None and not self._guard(lambda: access.is_visible(self._con, kind, name))):
            raise UnknownObject(f"there is no {kind} `{name}`", "name one of your own")
        self.check_owned(kind, name)
