"""Bootstrap tokens: Secrets of kube-system by which a machine that has no identity yet may ask for one.

A token is `ID.SECRET` and stands for `system:bootstrap:ID`. Source: docs/facts/api-client-and-server.md I.1 (2.).
"""

import base64
import hmac
import re
from collections.abc import Mapping

from nodeagent.apiserver.contract import StoreReader, UserInfo
from nodeagent.apiserver.kinds.timestamps import epoch
from runtimes.kube.json_object import JsonObject

SECRET_TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"
GROUP = "system:bootstrappers"
# what kubeadm makes its tokens members of
KUBEADM_GROUP = f"{GROUP}:kubeadm:default-node-token"
_NAME_PREFIX = "bootstrap-token-"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(rf"{GROUP}:[a-z0-9:-]{{0,255}}[a-z0-9]")


def has_shape(token: str) -> bool:
    """Whether it looks like one. No other token does."""
    return _TOKEN.fullmatch(token) is not None


def user_of(token: str, reader: StoreReader, now: float) -> UserInfo | None:
    """Who shows it at `now`, epoch seconds; None: there is none like it that is in force and for authentication."""
    shape = _TOKEN.fullmatch(token)
    if shape is None:
        return None
    token_id, token_secret = shape.groups()
    secret = reader.get("secrets", NAMESPACE, _NAME_PREFIX + token_id)
    if secret is None or secret.get("type") != SECRET_TYPE or secret["metadata"].get("deletionTimestamp"):
        return None
    data = _texts(secret)
    if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
        return None
    if data.get("token-id") != token_id or data.get("usage-bootstrap-authentication") != "true":
        return None
    if expires_at(secret) <= now:
        return None
    groups = _groups(data.get("auth-extra-groups", ""))
    return UserInfo(name=f"system:bootstrap:{token_id}", groups=groups) if groups else None


def expires_at(secret: JsonObject) -> float:
    """Epoch seconds; infinite without a time, and the beginning of time for one that cannot be read."""
    text = _texts(secret).get("expiration", "")
    if not text:
        return float("inf")
    try:
        return epoch(text)
    except ValueError:
        return float("-inf")


def _groups(extra: str) -> tuple[str, ...]:
    """Of a token; none where it names one that no token may be a member of."""
    named = sorted({name.strip() for name in extra.split(",")} - {""})
    return (GROUP, *named) if all(_EXTRA_GROUP.fullmatch(name) for name in named) else ()


def _texts(secret: JsonObject) -> Mapping[str, str]:
    found = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(str(value)).decode()
        except ValueError:
            continue
    return found
