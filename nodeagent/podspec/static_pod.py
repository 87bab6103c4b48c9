"""What an API does to a pod before it stores it, for one that comes from a file or a URL: types, defaults, validation."""

import re
from collections.abc import Mapping
from typing import Any

from nodeagent.apitypes import object_meta
from nodeagent.apitypes.encode import read
from nodeagent.apitypes.scalars import Mismatch, Refused
from nodeagent.apitypes.schema import struct
from nodeagent.podspec.defaults import default_pod
from nodeagent.podspec.validation.pod import validate_create
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, invalid
from runtimes.kube.json_object import JsonObject

# an API gives a pod its uid; of a file it is taken as it stands, and folders, cgroups and logs are named after it
_UID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_UID_TEXT = "must be at most 63 alphanumeric characters, '-' or '.', and start and end with an alphanumeric character"


def read_pod(manifest: Mapping[str, Any]) -> JsonObject:
    """A pod whose every field has the type that the API gives it; fields that the API does not know are left out.

    Raises ValueError with the field and both types.
    """
    try:
        return read(struct("core.v1.Pod"), dict(manifest)).value
    except Mismatch as error:
        raise ValueError(str(error)) from error
    except Refused as error:
        raise ValueError(f"{'.'.join(reversed(error.steps))}: {error}") from error


def prepare_pod(pod: JsonObject) -> list[str]:
    """Set the API's defaults in `pod`, in place, and return all reasons to refuse it."""
    default_pod(pod)
    errors = object_meta.validate(pod["metadata"]) + _place(pod["metadata"]) + validate_create(pod)
    return list(dict.fromkeys(map(str, errors)))


def _place(meta: JsonObject) -> list[FieldError]:
    """What names folders."""
    namespace, uid = meta.get("namespace", ""), meta.get("uid", "")
    errors = [invalid("metadata.namespace", namespace, why) for why in names.dns1123_label(namespace)]
    if _UID.fullmatch(uid) is None:
        errors.append(invalid("metadata.uid", uid, _UID_TEXT))
    return errors
