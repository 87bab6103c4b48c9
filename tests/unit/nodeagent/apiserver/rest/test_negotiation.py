"""Accept headers."""

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.discovery import aggregated_version
from nodeagent.apiserver.rest.negotiation import Representation, negotiate

KUBECTL_GET = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Representation()),
        ("*/*", Representation()),
        ("application/json", Representation()),
        ("application/yaml", Representation(media="application/yaml")),
        ("application/vnd.kubernetes.protobuf,application/json", Representation()),
        ("text/html, application/json;q=0.9, */*;q=0.1", Representation()),
        ("application/json;q=0.1, application/yaml", Representation(media="application/yaml")),
        (KUBECTL_GET, Representation(shape="table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Representation(shape="table", version="v1beta1")),
        ("application/json;as=Foo;v=v1;g=meta.k8s.io,application/json", Representation()),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Representation(shape="partial")),
    ],
)
def test_negotiate(accept: str, expected: Representation) -> None:
    """The first form that the client takes and the server has."""
    assert negotiate(accept) == expected


@pytest.mark.parametrize(
    ("pretty", "agent", "expected"),
    [("true", "", True), ("false", "curl/8", False), ("", "curl/8", True), ("", "kubectl/v1.32", False)],
)
def test_pretty(pretty: str, agent: str, expected: bool) -> None:
    """People get indented JSON: who asks for it, and who comes with curl."""
    assert negotiate("", pretty=pretty, user_agent=agent).pretty is expected


@pytest.mark.parametrize("accept", ["text/html", "application/vnd.kubernetes.protobuf", "application/json;q=0"])
def test_not_acceptable(accept: str) -> None:
    """406 lists what there is."""
    with pytest.raises(ApiError) as caught:
        negotiate(accept)
    assert (caught.value.code, caught.value.reason, caught.value.message) == (
        406,
        "NotAcceptable",
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml",
    )


AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (AGGREGATED, "v2"),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", "v2beta1"),
        ("application/json, */*", ""),
        ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json", ""),
        ("", ""),
    ],
)
def test_aggregated_discovery(accept: str, expected: str) -> None:
    """Which version of the aggregated form a client takes."""
    assert aggregated_version(accept) == expected
