"""Ranges for Services, as a kube-apiserver reads them."""

import pytest

from nodeagent.config.service_ranges import port_range, service_ranges


def test_ranges() -> None:
    """One, or one of each family in the author's order."""
    assert [str(one) for one in service_ranges(["10.96.0.0/12"])] == ["10.96.0.0/12"]
    assert [one.version for one in service_ranges(["fd96::/108", " 10.96.0.0/16"])] == [6, 4]
    assert port_range("30000-32767") == range(30000, 32768)
    assert port_range("80-80") == range(80, 81)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([], "one range of cluster addresses is needed"),
        (["10.96.0.0/12", "10.112.0.0/12"], "one of each family"),
        (["10.0.0.0/8"], "10.0.0.0/8: the prefix of a range of cluster addresses is from 12 to 29"),
        (["fd96::/64"], "from 108 to 125"),
        (["10.96.0.1/12"], "has host bits set"),
    ],
)
def test_what_is_no_range(texts: list[str], told: str) -> None:
    """With what is wrong."""
    with pytest.raises(ValueError, match=told):
        service_ranges(texts)


@pytest.mark.parametrize("text", ["", "80", "2-1", "0-5", "1-70000", "a-b", "1-2-3"])
def test_what_is_no_range_of_ports(text: str) -> None:
    """Named with an example."""
    with pytest.raises(ValueError, match="no range of ports such as 30000-32767"):
        port_range(text)
