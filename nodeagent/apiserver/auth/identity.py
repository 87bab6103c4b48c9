"""Authentication: the client certificate of the connection, or the bearer token of the request."""

import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nodeagent.apiserver.contract import StoreReader, TokenAuthority, UserInfo
from nodeagent.apiserver.errors import ApiError

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = UserInfo(name="system:anonymous", groups=(UNAUTHENTICATED,))
_BEARER = "bearer "


def user_of_certificate(certificate: Mapping[str, Any] | None) -> UserInfo | None:
    """The user of a verified peer certificate in the form of `SSLObject.getpeercert`: common name and organizations."""
    if not certificate:
        return None
    name, groups = "", []
    for relative in certificate.get("subject", ()):
        for attribute, value in relative:
            if attribute == "commonName":
                name = value
            elif attribute == "organizationName":
                groups.append(value)
    return UserInfo(name=name, groups=(*groups, AUTHENTICATED)) if name else None


class Authenticator:
    """Certificates were verified in the TLS handshake; tokens are verified here."""

    def __init__(self, tokens: TokenAuthority, reader: StoreReader) -> None:
        self._tokens = tokens
        self._reader = reader

    def authenticate(self, tls: ssl.SSLObject | None, authorization: str) -> UserInfo:
        """Raises `ApiError` 401 for a bad token; no credentials at all is `ANONYMOUS`."""
        user = user_of_certificate(tls.getpeercert() if tls is not None else None)
        if user is not None:
            return user
        if not authorization:
            return ANONYMOUS
        if not authorization.lower().startswith(_BEARER):
            raise ApiError.unauthorized()
        return self.user_of_token(authorization[len(_BEARER) :].strip())

    def user_of_token(self, token: str) -> UserInfo:
        """Raises `ApiError` 401."""
        user = self._tokens.authenticate(token, (), self._reader)
        if user is None:
            raise ApiError.unauthorized()
        return user if AUTHENTICATED in user.groups else replace(user, groups=(*user.groups, AUTHENTICATED))
