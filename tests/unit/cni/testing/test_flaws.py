"""Known flaws: an error is one only where there is nothing more to it."""

import pytest

from cni.testing.flaws import RELEASES, Flaw, Leftovers, explains

FLAWS = (
    Flaw(plugin="one", found="rule .* of one", text="leaves its rules"),
    Flaw(plugin="two", found=r'plugin type="two" failed \(del\).*', text="cannot delete"),
)


@pytest.mark.parametrize(
    ("error", "texts"),
    [
        (Leftovers(["rule 1 of one", "rule 2 of one"]), "one: leaves its rules"),
        (Leftovers(["rule 1 of one", "link veth0"]), ""),
        (Leftovers(["link veth0", "rule 1 of one"]), ""),
        (RuntimeError('plugin type="two" failed (del): busy\nsecond line'), "two: cannot delete"),
        (RuntimeError('before: plugin type="two" failed (del)'), ""),
        (AssertionError("anything"), ""),
        (
            ExceptionGroup("", [Leftovers(["rule 1 of one"]), RuntimeError('plugin type="two" failed (del)')]),
            "one: leaves its rules; two: cannot delete",
        ),
        (ExceptionGroup("", [Leftovers(["rule 1 of one"]), RuntimeError("else")]), ""),
    ],
)
def test_what_explains_an_error(error: Exception, texts: str) -> None:
    """Every finding must be a known one, and the whole of it; each flaw is told once."""
    assert explains(error, FLAWS) == texts


def test_releases() -> None:
    """The rules that bridge 1.1.1 leaves are known; a link, or a rule of portmap, is not."""
    known = RELEASES["containernetworking-1.1.1"]
    chain = "CNI-0123456789abcdef01234567"
    rules = [
        f'iptables nat -A POSTROUTING -s 10.88.0.2/32 -m comment --comment "x" -j {chain}',
        f"iptables nat -N {chain}",
        f"iptables nat -A {chain} -d 10.88.0.0/24 -j ACCEPT",
    ]
    assert explains(Leftovers(rules), known).startswith("bridge: DEL finds the rules of ipMasq")
    missing = (
        f"running [/usr/sbin/iptables -t nat -D POSTROUTING -s 10.88.0.2 -j {chain}]: Chain '{chain}' does not exist"
    )
    for failed in ('plugin type="bridge" failed (del): ', "failed: Answer(status=1, stdout='{"):
        assert explains(RuntimeError(failed + missing), known).startswith("bridge: DEL fails where an address")
    for other in ("link veth0 veth", "iptables nat -N CNI-DN-0123456789abcdef01234", "file 10.88.0.2"):
        assert explains(Leftovers([*rules, other]), known) == ""
