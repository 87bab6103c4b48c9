"""A manifest may say what it likes: it becomes a pod, or is refused with one clear reason, by the real rules of the API."""

from typing import Any

import msgspec
import pytest
from full_pod import FULL_POD, mistyped, places

from nodeagent.sources import manifest
from nodeagent.sources.manifest import InvalidManifest, StaticRules

RULES = StaticRules(node_name="node-1", tolerate=True)


def static(document: dict[str, Any]) -> Any:
    return msgspec.to_builtins(manifest.static_pod(document, "/m/pod.yaml", RULES))


def test_a_full_pod_is_accepted() -> None:
    """Every place that the test below breaks is right before."""
    found = static(FULL_POD)
    assert found["metadata"]["name"] == "full-node-1"
    assert found["spec"]["containers"][0]["securityContext"]["capabilities"] == {"add": ["NET_ADMIN"], "drop": ["ALL"]}
    assert len(list(places(FULL_POD))) > 350


def test_no_wrong_type_is_more_than_a_reason() -> None:
    """Each place of a pod, replaced by each of ten values: a pod, or refused by the rules and not by an exception of theirs."""
    refused = 0
    for path, wrong, document in mistyped(FULL_POD):
        try:
            static(document)
        except InvalidManifest as error:
            refused += 1
            text = str(error)
            assert text and "\n" not in text, (path, wrong)
            assert "cannot be judged" not in text, (path, wrong, text)
    assert refused > 3000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"spec": {"overhead": {"cpu": [1]}}},
            "spec.overhead: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            {"spec": {"containers": {"name": "c"}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"metadata": {"labels": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        ({"spec": []}, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
        ({"metadata": 7}, "json: cannot unmarshal number into Go struct field Pod.metadata of type v1.ObjectMeta"),
    ],
)
def test_the_reason_names_field_and_types(change: dict[str, Any], reason: str) -> None:
    """As a Kubernetes API says it."""
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}} | change
    with pytest.raises(InvalidManifest) as caught:
        static(document)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"uid": "../../../x"}, "metadata.uid"),
        ({"uid": ".."}, "metadata.uid"),
        ({"uid": "a/b"}, "metadata.uid"),
        ({"uid": "a\0b"}, "metadata.uid"),
        ({"uid": "a_b"}, "metadata.uid"),  # folders of logs are <namespace>_<name>_<uid>
        ({"uid": "x" * 64}, "metadata.uid"),
        ({"uid": "a\n"}, "metadata.uid"),
        ({"namespace": "../x"}, "metadata.namespace"),
        ({"namespace": "a.b"}, "metadata.namespace"),
        ({"namespace": "x" * 64}, "metadata.namespace"),
        ({"name": "../x"}, "metadata.name"),
        ({"name": "a_b"}, "metadata.name"),
        ({"name": ""}, "metadata.name"),
        ({"name": "x" * 250}, "metadata.name"),
        ({"labels": {"../x": "y"}}, "metadata.labels"),
        ({"labels": {"x": "../y"}}, "metadata.labels"),
        ({"annotations": {"../../x": "y"}}, "metadata.annotations"),
        ({"annotations": {"x": "y" * (256 << 10)}}, "metadata.annotations"),
        ({"finalizers": ["../x"]}, "metadata.finalizers"),
    ],
)
def test_nothing_that_names_a_folder_leaves_it(metadata: dict[str, Any], field: str) -> None:
    """uid, namespace and name are parts of paths and cgroups; the rest of the metadata is judged as an API judges it."""
    document = FULL_POD | {"metadata": {"name": "a"} | metadata}
    with pytest.raises(InvalidManifest) as caught:
        static(document)
    assert str(caught.value).startswith(f"{field}: "), str(caught.value)


@pytest.mark.parametrize("uid", ["mine", "0", "A-1.b", "x" * 63, "4b1d0e3c-8d3b-4b43-9b3c-3f6f4f1f4c1e"])
def test_a_uid_of_the_files_own_stays(uid: str) -> None:
    """Any that can be the name of a folder."""
    assert static(FULL_POD | {"metadata": {"name": "a", "uid": uid}})["metadata"]["uid"] == uid
