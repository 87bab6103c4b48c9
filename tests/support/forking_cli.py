"""The real command line many times over, cheaply: the program is loaded once, and each command runs in a fork of it.

Reads JSON lines {"argv": [...], "cwd": "..."} and answers each with {"status": ..., "out": ..., "err": ...}; status -1: it did
not end in time and was killed.
"""

import gc
import json
import os
import signal
import sys
import tempfile
import time

SECONDS = 60.0


def main() -> None:
    import typer._adapters  # noqa: F401  # pydantic: typer loads it when it reads the first parameter

    import nodeagent.cli.app
    import nodeagent.cli.check
    import nodeagent.cli.image
    import nodeagent.cli.run
    import nodeagent.cli.runtime
    import nodeagent.cli.status
    import nodeagent.cri_server
    import nodeagent.main  # noqa: F401  # what the commands import when they run

    gc.collect()
    gc.freeze()  # a fork that looks for garbage copies all of it
    gc.disable()
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(_run(case["argv"], case["cwd"])), flush=True)


def _run(argv: list[str], cwd: str) -> dict[str, object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _command(argv, cwd, out.fileno(), err.fileno())
        status = _wait(pid)
        found: dict[str, object] = {"status": status}
        for name, file in (("out", out), ("err", err)):
            file.seek(0)
            found[name] = file.read().decode(errors="replace")
        return found


def _command(argv: list[str], cwd: str, out: int, err: int) -> None:
    status = 1
    try:
        os.setsid()
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.argv = ["nodeagent", *argv]
        from nodeagent.cli import main as cli

        cli()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int) -> int:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1


if __name__ == "__main__":
    main()
