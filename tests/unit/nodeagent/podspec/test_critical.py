"""Which pods the node itself depends on: docs/facts/node-resources.md 3.4."""

from pod_builders import pod

from nodeagent.podspec.critical import is_critical


def test_critical_pods() -> None:
    """3.4: static, mirror, or priority from 2000000000."""
    found = [
        is_critical(pod({}, meta={"annotations": annotations}, priority=priority))
        for annotations, priority in (
            ({}, 1_999_999_999),
            ({}, 2_000_000_000),
            ({"kubernetes.io/config.source": "api"}, 0),
            ({"kubernetes.io/config.source": "file"}, 0),
            ({"kubernetes.io/config.mirror": "x"}, 0),
        )
    ]
    assert found == [False, True, False, True, True]
