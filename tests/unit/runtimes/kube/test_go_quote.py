"""Texts as Go's %q prints them."""

import pytest

from runtimes.kube.go_quote import go_quote


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('a"b\\', r'"a\"b\\"'),
        ("\x00\x7f", r'"\x00\x7f"'),
        ("tab\tnl\n", r'"tab\tnl\n"'),
        ("\u2028", r'"\u2028"'),
        ("aé\U000e0001", '"aé\\U000e0001"'),
    ],
)
def test_go_quoting(text: str, quoted: str) -> None:
    """Printable text stays, the rest is escaped in Go's way."""
    assert go_quote(text) == quoted
