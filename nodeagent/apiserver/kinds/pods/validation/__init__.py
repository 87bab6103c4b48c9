"""Every reason why a Pod is refused, all at once, with field paths (facts/embedded-api.md 15)."""
