"""The API's rules for a pod that comes from a file or a URL instead of an API: types, defaults, validation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nodeagent.apiserver.errors import FieldError, invalid
from nodeagent.apiserver.kinds import names
from nodeagent.apiserver.kinds.pods.defaults import default_pod
from nodeagent.apiserver.kinds.pods.validation.pod import validate_create
from nodeagent.apiserver.objects import metadata
from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.typed.encode import read
from nodeagent.apiserver.typed.scalars import Mismatch, Refused
from nodeagent.apiserver.typed.schema import struct

Json = dict[str, Any]

_POD: Final = struct("core.v1.Pod")
_PODS: Final = next(resource for resource in RESOURCES if resource.id == "pods")
# an API gives a pod its uid; of a file it is taken as it stands, and folders, cgroups and logs are named after it
_UID: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_UID_TEXT: Final = (
    "must be at most 63 alphanumeric characters, '-' or '.', and start and end with an alphanumeric character"
)


def read_pod(manifest: Mapping[str, Any]) -> Json:
    """A pod whose every field has the type that the API gives it; fields that the API does not know are left out.

    Raises ValueError with the field and both types.
    """
    try:
        return read(_POD, dict(manifest)).value
    except Mismatch as error:
        raise ValueError(str(error)) from error
    except Refused as error:
        raise ValueError(f"{'.'.join(reversed(error.steps))}: {error}") from error


def prepare_pod(pod: Json) -> list[str]:
    """Set the API's defaults in `pod`, in place, and return all reasons to refuse it."""
    default_pod(pod)
    errors = metadata.validate(pod, _PODS) + _place(pod["metadata"]) + validate_create(pod)
    return list(dict.fromkeys(map(str, errors)))


def _place(meta: Json) -> list[FieldError]:
    """What names folders."""
    namespace, uid = meta.get("namespace", ""), meta.get("uid", "")
    errors = [invalid("metadata.namespace", namespace, why) for why in names.dns1123_label(namespace)]
    if _UID.fullmatch(uid) is None:
        errors.append(invalid("metadata.uid", uid, _UID_TEXT))
    return errors
