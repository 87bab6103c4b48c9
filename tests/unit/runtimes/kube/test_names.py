"""The syntaxes of names."""

from collections.abc import Callable

import pytest

from runtimes.kube import names

LONG = "a" * 64


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns1123_label, ["a", "a-b", "1a", "a" * 63], ["", "A", "a.b", "-a", "a-", "a_b", "a\n"]),
        (names.dns1123_subdomain, ["a", "a.b", "a-1.b-2", "a" * 253], ["", "a..b", ".a", "A", "a_b"]),
        (names.dns1035_label, ["a", "a1"], ["1a", "a.b", ""]),
        (names.qualified_name, ["a", "A.b_c", "x.io/Name"], ["", "/a", "a/", "a/b/c", "X.io/a", "-a", LONG]),
        (names.label_value, ["", "a", "A.b"], ["-", "a/b", LONG, "a "]),
        (names.config_key, ["a", "A_b.c-1", ".x"], ["", "a/b", ".", "..", "..a", "a b"]),
        (names.env_name, ["A", "a.b", "1", "a b", "$"], ["", "a=b", "ü", "a\tb"]),
        (names.port_name, ["http", "a-1"], ["", "1", "a--b", "-a", "a-", "A", "a" * 16]),
        (names.ip_address, ["1.2.3.4", "::1"], ["", "1.2.3", "a", "01.2.3.4"]),
    ],
)
def test_syntax(check: Callable[[str], list[str]], good: list[str], bad: list[str]) -> None:
    """Good names have no problem, each bad one has at least one."""
    assert {text: check(text) for text in good} == {text: [] for text in good}
    assert [text for text in bad if not check(text)] == []


def test_texts() -> None:
    """The explanations are those that clients know."""
    assert names.dns1123_label(LONG.upper()) == [
        "must be no more than 63 characters",
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
        "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ]
    assert names.port_number(0) == ["must be between 1 and 65535, inclusive"]
    assert names.qualified_name("x/") == [
        "name part must be non-empty",
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ]


@pytest.mark.parametrize(("name", "good"), [("net.ipv4.ip_forward", True), ("kernel/shm_rmid_forced", True),
                                            ("net.ipv4.conf.IF.x", True), ("a..b", False), ("", False)])  # fmt: skip
def test_sysctl(name: str, good: bool) -> None:
    """A sysctl is segments with dots or slashes."""
    assert names.sysctl_name(name) is good
