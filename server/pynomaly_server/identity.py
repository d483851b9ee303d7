"""Who makes a request."""

import msgspec

from pynomaly_server.permissions import Permission


class Identity(msgspec.Struct, frozen=True):
    """A user who is signed in, and by what: a console session, an access token or an API key."""

    user: str
    role: str
    permissions: frozenset[Permission]
    credential: str  # session, token or key
    credential_id: str

    @property
    def sees_all(self) -> bool:
        """Whether the rows of other users are seen too."""
        return Permission.SEE_ALL in self.permissions

    def may(self, permission: Permission) -> bool:
        """Whether a permission is held."""
        return permission in self.permissions
