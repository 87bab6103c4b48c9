"""Netlink attributes: written as the kernel reads them, read as it writes them."""

from cni.native.attributes import attribute, each, nest, number, parse, string, text


def test_layout() -> None:
    """Length with the header, padding to four bytes outside of it, nested ones marked."""
    assert attribute(6, b"abc") == b"\x07\x00\x06\x00abc\x00"
    assert text(1, "abc") == b"\x08\x00\x01\x00abc\x00"
    assert number(2, -100) == b"\x08\x00\x02\x00\xff\xff\xff\x9c"
    assert nest(4, number(1, 2)) == b"\x0c\x00\x04\x80\x08\x00\x01\x00\x00\x00\x00\x02"


def test_reading() -> None:
    """In order, without padding and marks; what is cut off, or says a length that cannot be, ends it."""
    data = text(1, "abc") + nest(4, number(1, 2)) + attribute(1, b"x")
    assert list(each(data)) == [(1, b"abc\0"), (4, number(1, 2)), (1, b"x")]
    assert parse(data)[1] == b"x"
    assert string(b"abc\0def") == "abc"
    assert list(each(data[:-6] + b"\0\0")) == [(1, b"abc\0"), (4, number(1, 2))]
    assert list(each(b"\x03\x00\x01\x00" * 2)) == []
