"""URLs taken apart."""

import pytest

from nodeagent.apiserver.rest.path import Target, parse


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", Target(group="", version="v1", plural="pods")),
        ("/api/v1/namespaces", Target(group="", version="v1", plural="namespaces")),
        ("/api/v1/namespaces/d", Target(group="", version="v1", plural="namespaces", name="d")),
        (
            "/api/v1/namespaces/d/finalize",
            Target(group="", version="v1", plural="namespaces", name="d", subresource="finalize"),
        ),
        ("/api/v1/namespaces/d/pods", Target(group="", version="v1", plural="pods", namespace="d")),
        ("/api/v1/namespaces/d/pods/p", Target(group="", version="v1", plural="pods", namespace="d", name="p")),
        (
            "/api/v1/namespaces/d/pods/p/log",
            Target(group="", version="v1", plural="pods", namespace="d", name="p", subresource="log"),
        ),
        (
            "/apis/coordination.k8s.io/v1/namespaces/d/leases/l",
            Target(group="coordination.k8s.io", version="v1", plural="leases", namespace="d", name="l"),
        ),
        (
            "/api/v1/nodes/n/proxy/a/b%2Fc",
            Target(group="", version="v1", plural="nodes", name="n", subresource="proxy", rest="/a/b/c"),
        ),
        ("/api/v1/nodes/a%3Ab", Target(group="", version="v1", plural="nodes", name="a:b")),
        ("/api", None),
        ("/api/v1", None),
        ("/apis/node.k8s.io/v1", None),
        ("/version", None),
        ("/", None),
        ("/api/v1/namespaces//pods", None),
    ],
)
def test_parse(path: str, expected: Target | None) -> None:
    """A resource path gives its parts; any other path gives nothing."""
    assert parse(path) == expected


@pytest.mark.parametrize(
    ("path", "method", "watch", "verb"),
    [
        ("/api/v1/pods", "GET", False, "list"),
        ("/api/v1/pods", "GET", True, "watch"),
        ("/api/v1/namespaces/d/pods/p", "GET", False, "get"),
        ("/api/v1/namespaces/d/pods/p", "GET", True, "watch"),
        ("/api/v1/namespaces/d/pods/p/log", "GET", True, "get"),
        ("/api/v1/namespaces/d/pods", "POST", False, "create"),
        ("/api/v1/namespaces/d/pods/p", "PUT", False, "update"),
        ("/api/v1/namespaces/d/pods/p", "PATCH", False, "patch"),
        ("/api/v1/namespaces/d/pods/p", "DELETE", False, "delete"),
        ("/api/v1/namespaces/d/pods", "DELETE", False, "deletecollection"),
        ("/api/v1/pods", "TRACE", False, ""),
    ],
)
def test_verbs(path: str, method: str, watch: bool, verb: str) -> None:
    """The verb that the authorizer is asked about."""
    target = parse(path)
    assert target is not None
    assert target.verb(method, watch=watch) == verb
