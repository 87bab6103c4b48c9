"""Texts as Go's %q prints them: what messages of the Kubernetes API quote."""


class _Escapes(dict[int, str | int]):
    """What stands for a character, as `str.translate` asks for it."""

    def __missing__(self, code: int) -> str | int:
        if chr(code).isprintable():
            escape: str | int = code
        elif code < 0x80:
            escape = f"\\x{code:02x}"
        else:
            escape = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        if code < 0x80:  # no more than these are kept: there are a million others
            self[code] = escape
        return escape


_ESCAPES = _Escapes(
    {
        ord("\a"): "\\a",
        ord("\b"): "\\b",
        ord("\f"): "\\f",
        ord("\n"): "\\n",
        ord("\r"): "\\r",
        ord("\t"): "\\t",
        ord("\v"): "\\v",
        ord("\\"): "\\\\",
        ord('"'): '\\"',
    }
)


def go_quote(text: str) -> str:
    """`text` in double quotes, printable characters as they are, the others escaped."""
    return f'"{text.translate(_ESCAPES)}"'
