"""Patches of all four kinds, carried out on a pod."""

from typing import Any

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.decoding import decode_patch
from tests.fuzz import api_under_test as api
from tests.fuzz.contract import Target
from tests.fuzz.grammar import near
from tests.fuzz.samples import PODS

_OPERATIONS: Any = [
    {"op": "test", "path": "/metadata/name", "value": "p"},
    {"op": "add", "path": "/metadata/labels/x", "value": "y"},
    {"op": "copy", "from": "/spec/containers", "path": "/spec/initContainers"},
    {"op": "move", "from": "/metadata/labels", "path": "/metadata/annotations"},
    {"op": "replace", "path": "/spec/containers/0/image", "value": "x"},
    {"op": "remove", "path": "/spec/tolerations/-"},
]
_MERGE: Any = {"metadata": {"labels": {"a": None, "b": "c"}}, "spec": {"activeDeadlineSeconds": 5}}
_STRATEGIC: Any = {
    "metadata": {
        "annotations": {"$retainKeys": ["a"], "a": "b"},
        "ownerReferences": [{"uid": "u", "$patch": "delete"}],
    },
    "spec": {
        "containers": [{"name": "c", "image": "x"}, {"name": "d", "$patch": "delete"}],
        "$setElementOrder/containers": [{"name": "d"}, {"name": "c"}],
        "tolerations": [{"$patch": "replace"}],
        "$deleteFromPrimitiveList/finalizers": ["x"],
        "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}],
    },
}


def _target(kind: str, media: str, *documents: Any) -> Target:
    def run(data: bytes) -> None:
        api.patch("pods", "p", decode_patch(data, media))
        api.patch("pods", "p", decode_patch(data, media), "status")

    return Target(
        name=f"patch-{kind}",
        run=run,
        allowed=(ApiError,),
        inputs=near(*documents),
        words=(b'{"op":"copy","from":"","path":"/a"},', b'"$patch":"merge"', b"/0/", b"~1", b"~0", b"/-", b"9" * 5000),
    )


TARGETS = (
    _target("json", "application/json-patch+json", _OPERATIONS),
    _target("merge", "application/merge-patch+json", _MERGE, *PODS),
    _target("strategic", "application/strategic-merge-patch+json", _STRATEGIC, *PODS),
    _target("apply", "application/apply-patch+yaml", *PODS),
)
