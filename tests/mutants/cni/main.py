"""A mutant in a process of its own: what its program runs."""

import os
import sys
from importlib import import_module

from .call import Call


def main(module: str, name: str, real: list[str], broken: str) -> None:
    """Answer as the mutant does, and exit. `broken`: a file for what goes wrong with it otherwise."""
    mutant = getattr(import_module(f".{module}", __package__), name)
    call = Call(mutant.plugin, real, dict(os.environ), sys.stdin.buffer.read())
    try:
        answer = mutant.body(call)
    except Exception:
        import traceback  # slow, and seldom needed

        with open(broken, "a") as file:
            file.write(f"{name}, {call.command} of {call.container_id}:\n{traceback.format_exc()}\n")
        sys.exit(99)
    sys.stdout.buffer.write(answer.stdout)
    sys.stdout.flush()
    sys.exit(answer.status)
