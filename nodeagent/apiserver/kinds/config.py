"""ConfigMap and Secret: keys, sizes, typed secrets, and the immutable flag."""

import base64
import json
from typing import Any

from typing_extensions import override

from nodeagent.apiserver.kinds import keypair
from nodeagent.apiserver.kinds.base import IMMUTABLE, Kind
from nodeagent.podspec.validation.rules import problems
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, forbidden, invalid, required, too_long
from runtimes.kube.json_object import JsonObject

MAX_DATA_BYTES = 1024 * 1024
OPAQUE = "Opaque"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_FROZEN = "field is immutable when `immutable` is set"
_REQUIRED_KEYS: dict[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_BASIC_AUTH = ("username", "password")


class ConfigMapKind(Kind):
    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        text, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        errors: list[FieldError] = []
        size = 0
        for key, value in text.items():
            errors += problems(f"data[{key}]", key, names.config_key(key))
            if key in binary:
                errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
            size += len(value.encode())
        for key, value in binary.items():
            errors += problems(f"binaryData[{key}]", key, names.config_key(key))
            size += _decoded_size(value)
        if size > MAX_DATA_BYTES:
            errors.append(too_long("", MAX_DATA_BYTES))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return frozen(new, old, ("data", "binaryData"))


class SecretKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        if not obj.get("type"):
            obj["type"] = OPAQUE
        plain = obj.pop("stringData", None)
        if plain:
            data = obj.setdefault("data", {})
            for key, value in plain.items():
                data[key] = base64.b64encode(str(value).encode()).decode("ascii")

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        data = obj.get("data") or {}
        errors: list[FieldError] = []
        for key in data:
            errors += problems(f"data[{key}]", key, names.config_key(key))
        if sum(map(_decoded_size, data.values())) > MAX_DATA_BYTES:
            errors.append(too_long("data", MAX_DATA_BYTES))
        return errors + self._typed(obj, data)

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        if new.get("type") != old.get("type", OPAQUE):
            errors.append(invalid("type", new.get("type"), IMMUTABLE))
        return errors + frozen(new, old, ("data",))

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        if obj.get("type") != "kubernetes.io/tls":
            return []
        data = obj.get("data") or {}
        wrong = keypair.problem(*(_decoded(data.get(key)) for key in _REQUIRED_KEYS["kubernetes.io/tls"]))
        return [wrong] if wrong else []

    def _typed(self, obj: JsonObject, data: JsonObject) -> list[FieldError]:
        kind = obj["type"]
        errors = [required(f"data[{key}]") for key in _REQUIRED_KEYS.get(kind, ()) if key not in data]
        if kind == "kubernetes.io/service-account-token":
            annotations = obj["metadata"].get("annotations") or {}
            if not annotations.get(SERVICE_ACCOUNT_NAME):
                errors.append(required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]"))
        elif kind == "kubernetes.io/basic-auth" and not any(key in data for key in _BASIC_AUTH):
            errors += [required(f"data[{key}]") for key in _BASIC_AUTH]
        elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
            key = _REQUIRED_KEYS[kind][0]
            if key in data and not _is_json(data[key]):
                errors.append(invalid(f"data[{key}]", "<secret contents redacted>", "invalid character in JSON text"))
        return errors


def frozen(new: JsonObject, old: JsonObject, fields: tuple[str, ...]) -> list[FieldError]:
    """Nothing of an immutable object's content changes, the flag neither."""
    if not old.get("immutable"):
        return []
    errors = [] if new.get("immutable") else [forbidden("immutable", _FROZEN)]
    return errors + [forbidden(field, _FROZEN) for field in fields if (new.get(field) or {}) != (old.get(field) or {})]


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text or ""))
    except ValueError:
        return b""


def _decoded_size(text: Any) -> int:
    length = len(str(text))
    return length // 4 * 3 - str(text)[-2:].count("=")


def _is_json(encoded: Any) -> bool:
    try:
        json.loads(base64.b64decode(str(encoded), validate=True))
    except ValueError:
        return False
    return True
