"""A page that is whole in itself: one file, nothing loaded, every text of others escaped. Whose it is gives its contents."""

import base64
import hashlib
from html import escape
from typing import Final

from nodeagent.reports.printable import printable

_STYLE: Final = """
:root { color-scheme: light dark; --good: #2a7d46; --bad: #c0281f; --warn: #b27300; --none: #77808a; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --good: #56b876; --bad: #ff7066; --warn: #e0a63c; --none: #98a1ab; } }
body, summary, p, h1 { overflow-wrap: anywhere; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
th, td.number { overflow-wrap: normal; } td:first-child { min-width: 3.5rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .6rem; border-radius: 4px; }
.good { color: var(--good); fill: var(--good); } .bad { color: var(--bad); fill: var(--bad); font-weight: 600; }
.warn { color: var(--warn); fill: var(--warn); } .none { color: var(--none); fill: var(--none); }
svg { max-width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
"""


def text(anything: object) -> str:
    """As text in a page, or in an attribute's double quotes."""
    return escape(printable(str(anything)))


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """The document. `body`, `style` and `script` are of the program's own making; the script is the only one that may run."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'" + (f"; script-src 'sha256-{digest}'" if script else "")
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(title)}</title><style>{_STYLE}{style}</style></head><body>\n",
            body,
            f"<script>{script}</script>\n" if script else "",
            "</body></html>\n",
        )
    )
