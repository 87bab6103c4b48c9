"""LabelSelectors, as claims have them."""

from nodeagent.apiserver.kinds.label_selector import matches_labels


def test_label_selectors() -> None:
    """None selects nothing, an empty selector everything."""
    labels = {"a": "b"}
    assert matches_labels({}, labels) and not matches_labels(None, labels)
    assert matches_labels(
        {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]}, labels
    )
    assert not matches_labels({"matchLabels": {"a": "c"}}, labels)
