"""Frames that tell who has an address."""

from ipaddress import ip_address

from cni.native.announce import frame

MAC = bytes.fromhex("020000000001")


def test_arp() -> None:
    """To everybody; sender and target are the address itself (RFC 5227, 2.3)."""
    assert frame(MAC, ip_address("10.1.0.5")).hex() == (
        "ffffffffffff020000000001080600010800060400010200000000010a0100050000000000000a010005"
    )


def test_neighbour_advertisement() -> None:
    """To all nodes, with override flag, target and hardware address (RFC 4861, 4.4), and a checksum that holds."""
    found = frame(MAC, ip_address("fd00::5"))
    header, icmp = found[14:54], found[54:]
    assert found[:14].hex() == "33330000000102000000000186dd"
    assert (header[6], header[7], header[4:6]) == (58, 255, len(icmp).to_bytes(2, "big"))
    assert icmp[:2] == bytes([136, 0])
    assert icmp[4:8].hex() == "20000000"
    assert icmp[8:] == ip_address("fd00::5").packed + bytes([2, 1]) + MAC
    pseudo = header[8:40] + len(icmp).to_bytes(4, "big") + (58).to_bytes(4, "big")
    words = [int.from_bytes((pseudo + icmp)[at : at + 2], "big") for at in range(0, len(pseudo + icmp), 2)]
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
