"""`Warning` headers (RFC 7234, code 299): what kubectl prints as `Warning: …`."""

from collections.abc import Iterable

MAX_RUNES = 4 << 10
MAX_RUNES_OF_ONE = 256


def warning_headers(texts: Iterable[str]) -> list[str]:
    """One header value a text, none twice. When all together are too long, each is cut, and the last may be left out."""
    unique = [text for text in dict.fromkeys(texts) if text]
    if sum(map(len, unique)) > MAX_RUNES:
        unique = _cut(unique)
    return [f'299 - "{_quoted(text)}"' for text in unique]


def _cut(texts: list[str]) -> list[str]:
    kept: list[str] = []
    written = 0
    for text in texts:
        if written >= MAX_RUNES:
            break
        kept.append(text[:MAX_RUNES_OF_ONE])
        written += len(kept[-1])
    return kept


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(letter if letter.isprintable() else " " for letter in escaped)
