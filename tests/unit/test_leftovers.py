"""What hack/test takes away at its end: rules of test networks that are nobody's, and no other."""

from leftovers import rules_of_nobody

SAVED = """\
*nat
:POSTROUTING ACCEPT [0:0]
:CNI-0123456789abcdef01234567 - [0:0]
-A POSTROUTING -s 10.201.1.2/32 -m comment --comment "name: \\"nat123abc\\" id: \\"a\\"" -j CNI-0123456789abcdef01234567
-A POSTROUTING -s 10.202.1.2/32 -m comment --comment "name: \\"nat456def\\" id: \\"b\\"" -j CNI-76543210fedcba9876543210
-A POSTROUTING -s 10.201.1.3/32 -m comment --comment "name: \\"cbr0\\" id: \\"c\\"" -j CNI-aaaaaaaaaaaaaaaaaaaaaaaa
-A CNI-0123456789abcdef01234567 -d 10.201.1.0/24 -m comment --comment "name: \\"nat123abc\\" id: \\"a\\"" -j ACCEPT
-A CNI-76543210fedcba9876543210 -d 10.202.1.0/24 -m comment --comment "name: \\"nat456def\\" id: \\"b\\"" -j ACCEPT
-A CNI-DN-0123456789abcdef01234 -s 10.201.1.0/24 -p tcp --dport 80 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-0123456789abcdef01234 -p tcp --dport 80 -j DNAT --to-destination 10.201.1.2:80
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"nat123abc\\" id: \\"a\\"" -j CNI-DN-0123456789abcdef01234
-A CNI-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000
COMMIT
"""


def test_rules_of_nobody() -> None:
    """Those of a subnet that is nobody's and their chains', by name of a test's network; the others' and the shared ones stay."""
    found = rules_of_nobody(SAVED, lambda address: address.startswith("10.201."))
    numbers = (3, 6, 8, 9, 10)
    assert sorted(found) == sorted(SAVED.splitlines()[number] for number in numbers)
