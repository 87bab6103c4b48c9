"""Questions that look like objects: who am I, may I, whose token is this. Answered, never stored."""

from collections.abc import Callable, Mapping
from typing import Any

from nodeagent.apiserver.auth.attributes import Attributes
from nodeagent.apiserver.auth.authorizer import Authorizer
from nodeagent.apiserver.auth.node import node_of
from nodeagent.apiserver.contract import StoreReader, TokenAuthority, UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.resource import Resource
from runtimes.kube.field_errors import invalid, required
from runtimes.kube.json_object import JsonObject


class Reviews:
    """`answer` gives the object back with its status filled in. Raises `ApiError` 422."""

    def __init__(self, authorizer: Authorizer, tokens: TokenAuthority, reader: StoreReader) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._reader = reader
        self._kinds: Mapping[str, Callable[[Resource, JsonObject, UserInfo], JsonObject]] = {
            "SelfSubjectReview": self._who_am_i,
            "TokenReview": self._token,
            "SelfSubjectAccessReview": self._access_of_self,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._access,
            "SelfSubjectRulesReview": self._rules,
        }

    def answers(self, kind: str) -> bool:
        return kind in self._kinds

    def answer(self, resource: Resource, obj: JsonObject, user: UserInfo) -> JsonObject:
        """`obj` has been accepted as being of `resource`."""
        return {**obj, "status": self._kinds[resource.kind](resource, obj, user)}

    def _who_am_i(self, resource: Resource, obj: JsonObject, user: UserInfo) -> JsonObject:
        return {"userInfo": _user_object(user)}

    def _token(self, resource: Resource, obj: JsonObject, user: UserInfo) -> JsonObject:
        spec = obj.get("spec") or {}
        token, audiences = spec.get("token") or "", tuple(spec.get("audiences") or ())
        if not token:
            return {"error": "no token given"}
        found = self._tokens.authenticate(token, audiences, self._reader)
        if found is None:
            return {"error": "invalid bearer token", "user": {}}
        meant = self._tokens.token_audiences(token)
        shared = [audience for audience in audiences if audience in meant] if audiences else list(meant)
        return {"authenticated": True, "user": _user_object(found), "audiences": shared}

    def _access_of_self(self, resource: Resource, obj: JsonObject, user: UserInfo) -> JsonObject:
        return self._decide(resource, obj, user)

    def _access(self, resource: Resource, obj: JsonObject, user: UserInfo) -> JsonObject:
        spec = obj.get("spec") or {}
        name, groups = spec.get("user") or "", tuple(spec.get("groups") or ())
        if not name and not groups:
            error = invalid("spec.user", "", "at least one of user or group must be specified")
            raise ApiError.invalid(resource.kind, resource.group, "", [error])
        return self._decide(resource, obj, UserInfo(name=name, groups=groups, uid=spec.get("uid") or ""))

    def _decide(self, resource: Resource, obj: JsonObject, subject: UserInfo) -> JsonObject:
        spec = obj.get("spec") or {}
        asked = spec.get("resourceAttributes")
        path = spec.get("nonResourceAttributes")
        if (asked is None) == (path is None):
            text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise ApiError.invalid(resource.kind, resource.group, "", [invalid("spec.resourceAttributes", asked, text)])
        if path is not None:
            attributes = Attributes(user=subject, verb=path.get("verb") or "", path=path.get("path") or "/")
        else:
            attributes = _resource_attributes(asked or {}, subject)
        decision = self._authorizer.authorize(attributes)
        status: JsonObject = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status

    def _rules(self, resource: Resource, obj: JsonObject, user: UserInfo) -> JsonObject:
        if not (obj.get("spec") or {}).get("namespace"):
            raise ApiError.invalid(resource.kind, resource.group, "", [required("spec.namespace")])
        rules = self._authorizer.rules_of(user)
        return {
            "resourceRules": [rule.shown() for rule in rules if not rule.paths],
            "nonResourceRules": [rule.shown() for rule in rules if rule.paths],
            # what a node may do is decided object by object
            "incomplete": bool(node_of(user)),
        }


def _resource_attributes(asked: Mapping[str, Any], subject: UserInfo) -> Attributes:
    def text(name: str) -> str:
        return str(asked.get(name) or "")

    return Attributes(
        user=subject,
        verb=text("verb"),
        group=text("group"),
        resource=text("resource"),
        subresource=text("subresource"),
        namespace=text("namespace"),
        name=text("name"),
    )


def _user_object(user: UserInfo) -> JsonObject:
    found: JsonObject = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found
