"""`nodeagent run`: read the configuration and hand over to the agent."""

import gc
import sys

from nodeagent import standby
from nodeagent.config import ConfigProblem, Options, load
from nodeagent.trust_apart import import_aiohttp


def run(options: Options) -> int:
    """Exit code of the agent; 2, and nothing started, for a configuration with mistakes."""
    try:
        config = load(options)
    except ConfigProblem as problem:
        for line in problem.problems:
            print(line, file=sys.stderr)
        return 2
    gc.disable()  # imports leave nothing to collect, and looking takes a tenth of their time
    try:
        import_aiohttp()
        embedded = standby.fork() if options.standalone else None  # it imports beside us
        from nodeagent.main import run as run_agent

        gc.freeze()  # what was imported stays
    finally:
        gc.enable()
    return run_agent(config, embedded)
