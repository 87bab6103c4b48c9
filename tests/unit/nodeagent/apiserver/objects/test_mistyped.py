"""A body may say what it likes: every verb that takes one answers with an object or an error in the words of an API."""

from typing import Any

import pytest
from full_pod import FULL_POD, TELLING, WRONG, mistyped

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import WriteOptions

Cluster = Any
POD = FULL_POD | {"spec": {key: value for key, value in FULL_POD["spec"].items() if key != "overhead"}}

# a kube-apiserver answers these with 500, too, in its own words
AS_UPSTREAM = ("failed to create typed patch object (", "map: map[", "a list of objects with the key ")


@pytest.mark.parametrize("verb", ["create", "update", "merge", "strategic", "apply"])
async def test_no_wrong_type_is_an_error_of_the_server(cluster: Cluster, verb: str) -> None:
    """Each place of a pod, replaced by values of other types, in every way in which a pod is written."""
    if verb != "create":
        await cluster.create("pods", POD)
    refused = 0
    for path, wrong, body in mistyped(POD, WRONG if verb == "create" else TELLING):
        try:
            if verb == "create":
                await cluster.answer_of_create("pods", body, dry_run=True)
            elif verb == "update":
                pods, options = cluster.objects.kind("pods"), WriteOptions(dry_run=True)
                await cluster.objects.update(pods, "default", "full", body, options, cluster.user, None)
            else:
                owner = {"field_manager": "test", "force": True} if verb == "apply" else {}
                await cluster.patch("pods", "full", body, verb, dry_run=True, **owner)
        except ApiError as error:
            refused += 1
            assert 400 <= error.code < 500 or error.message.startswith(AS_UPSTREAM), (path, wrong, error)
            assert error.message, (path, wrong)
    assert refused > 1000
