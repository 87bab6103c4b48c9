"""Every reason why a Pod is refused, all at once, with field paths (docs/facts/embedded-api.md 15)."""
