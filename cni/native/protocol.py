"""The door for other runtimes: a command by environment and standard input, an answer on standard output (specification, 2)."""

import json
import os
import sys
from typing import Any

from cni.native import request
from cni.native.failure import Code, Failure
from cni.native.nftables_rules import NftablesRules
from cni.native.plugin import Plugin
from cni.native.request import CURRENT

_STDIN_BYTES = 1 << 22


def main() -> int:
    """Answer; return the exit status."""
    version = CURRENT
    try:
        command = request.check_environment(os.environ)
        config = _read(command)
        if isinstance(config, dict) and isinstance(config.get("cniVersion"), str):
            version = config["cniVersion"]
        answer = Plugin(NftablesRules).run(request.parse(os.environ, config))
    except Failure as failure:
        shown = {"cniVersion": version, "code": int(failure.code), "msg": failure.message}
        _print(shown | ({"details": failure.details} if failure.details else {}))
        return 1
    if answer is not None:
        _print(answer)
    return 0


def _read(command: str) -> Any:
    try:
        text = sys.stdin.buffer.read(_STDIN_BYTES)
    except OSError as error:
        raise Failure(f"cannot read the configuration: {error}", code=Code.IO) from error
    if command == "VERSION" and not text.strip():
        return {"cniVersion": CURRENT}
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Failure(f"the network configuration is not JSON: {error}", code=Code.DECODING) from error


def _print(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
