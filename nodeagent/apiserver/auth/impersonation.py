"""Acting as somebody else: the `Impersonate-*` headers (`kubectl --as`), each part of them asked of the authorizer.

Who may impersonate is a right like any other: verb `impersonate` on `users`, `groups` and `serviceaccounts`, on `uids`
and `userextras/KEY` of `authentication.k8s.io`, by name. Whoever lacks one of them is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from nodeagent.apiserver.auth.attributes import Attributes
from nodeagent.apiserver.auth.identity import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError

PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"
_SERVICE_ACCOUNT = "system:serviceaccount:"

Authorize = Callable[[Attributes], None]
"""Raises `ApiError` 403."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the headers say."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def impersonated(caller: UserInfo, headers: Iterable[tuple[str, str]], authorize: Authorize) -> UserInfo:
    """The user to go on as: `caller`, unless the headers name another whom it may be in every part.

    Raises `ApiError`: 400 for parts without a user, 403 for a part that is not the caller's to take.
    """
    asked = read(headers)
    if asked == Asked():
        return caller
    if not asked.user:
        raise ApiError.bad_request(f"requested {_listed(asked)} without impersonating a user")
    for question in _questions(caller, asked):
        authorize(question)
    return _user(asked)


def read(headers: Iterable[tuple[str, str]]) -> Asked:
    """Names are matched without regard to case; keys of `extra` are lower case, percent-encoded where they must be."""
    user, uid = "", ""
    groups: list[str] = []
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers:
        match name.lower():
            case "impersonate-user":
                user = user or value
            case "impersonate-uid":
                uid = uid or value
            case "impersonate-group":
                groups.append(value)
            case lower if lower.startswith(_EXTRA):
                key = _key(lower.removeprefix(_EXTRA))
                extra[key] = (*extra.get(key, ()), value)
    return Asked(user=user, uid=uid, groups=tuple(groups), extra=extra)


def _key(encoded: str) -> str:
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return encoded


def _questions(caller: UserInfo, asked: Asked) -> Iterator[Attributes]:
    account = _account(asked.user)
    if account is not None:
        namespace, name = account
        yield Attributes(user=caller, verb="impersonate", resource="serviceaccounts", namespace=namespace, name=name)
    else:
        yield Attributes(user=caller, verb="impersonate", resource="users", name=asked.user)
    for group in asked.groups:
        yield Attributes(user=caller, verb="impersonate", resource="groups", name=group)
    for key, values in asked.extra.items():
        for value in values:
            yield Attributes(
                user=caller,
                verb="impersonate",
                group=_AUTHENTICATION,
                resource="userextras",
                subresource=key,
                name=value,
            )
    if asked.uid:
        yield Attributes(user=caller, verb="impersonate", group=_AUTHENTICATION, resource="uids", name=asked.uid)


def _user(asked: Asked) -> UserInfo:
    groups = asked.groups
    account = _account(asked.user)
    if account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if asked.user == ANONYMOUS.name:
        groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return UserInfo(name=asked.user, uid=asked.uid, groups=groups, extra=asked.extra)


def _account(user: str) -> tuple[str, str] | None:
    """Namespace and name of a service account's user."""
    namespace, colon, name = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if not user.startswith(_SERVICE_ACCOUNT) or not colon or not namespace or not name or ":" in name:
        return None
    return namespace, name


def _listed(asked: Asked) -> str:
    parts = [f"group {group!r}" for group in asked.groups]
    parts += [f"extra {key!r}" for key in asked.extra]
    parts += [f"uid {asked.uid!r}"] if asked.uid else []
    return ", ".join(parts)
