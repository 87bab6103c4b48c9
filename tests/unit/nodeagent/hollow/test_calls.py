"""Requests by their names."""

import pytest

from nodeagent.hollow.calls import ApiCalls, name_of

NAMES = [
    ("GET", "/api/v1/nodes/hollow-0", "get nodes"),
    ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dhollow-0&limit=500", "list pods"),
    ("GET", "/api/v1/pods?watch=true&resourceVersion=7", "watch pods"),
    ("PATCH", "/api/v1/namespaces/default/pods/p/status", "patch pods/status"),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", "create serviceaccounts/token"),
    ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/hollow-0", "update leases"),
    ("DELETE", "/api/v1/namespaces/default/pods?labelSelector=a%3Db", "deletecollection pods"),
    ("DELETE", "/api/v1/namespaces/default", "delete namespaces"),
    ("GET", "/healthz", "get /healthz"),
]


@pytest.mark.parametrize(("method", "path", "name"), NAMES)
def test_a_request_is_named_by_what_it_asks(method: str, path: str, name: str) -> None:
    """The verb of the API, the resource and the subresource; whose, and with which selectors, does not count."""
    assert name_of(method, path) == name


def test_what_failed_is_counted_by_its_answer() -> None:
    """An object that is not there is no failure; no answer is one."""
    calls = ApiCalls()
    for code in (200, 404, 409, 409, 0):
        calls.heard("GET", "/api/v1/nodes/n", code)
    assert calls.by_name == {"get nodes": 5}
    assert calls.failed == {"get nodes 409": 2, "get nodes no answer": 1}
