"""A program of this repository with some of its times shorter, so that a test need not wait for the real ones.

    python tests/support/hurried.py package.module:NAME=1.5 package.module:POLICY.cap_seconds=2 -m nodeagent run ARG...

Numbers of a module, or of a dataclass in it; one that is not there, or is no shorter, is an error. Nothing of the production code
is prepared for it.
"""

import dataclasses
import importlib
import os
import runpy
import sys


def shorten(setting: str) -> None:
    """`setting`: package.module:NAME=NUMBER, or package.module:NAME.FIELD=NUMBER."""
    target, _, number = setting.partition("=")
    module_name, _, path = target.partition(":")
    name, _, field = path.partition(".")
    module = importlib.import_module(module_name)
    old = getattr(module, name)
    new = dataclasses.replace(old, **{field: float(number)}) if field else float(number)
    assert (getattr(new, field) if field else new) <= (getattr(old, field) if field else old), f"{setting} is longer"
    setattr(module, name, new)


def main() -> None:
    at = sys.argv.index("-m")
    sys.path[0] = os.getcwd()  # as -m has it
    for setting in sys.argv[1:at]:
        shorten(setting)
    module, sys.argv = sys.argv[at + 1], sys.argv[at + 1 :]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
