"""`nodeagent run`: read the configuration and hand over to the agent."""

import gc
import sys
from collections.abc import Iterator

from nodeagent import folders, standby
from nodeagent.config import Config, ConfigProblem, Options, load
from nodeagent.failures import StartError
from nodeagent.folders import Folders
from nodeagent.standalone import EmbeddedAPISettings


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
        ahead = tuple(begun_ahead(config))
        from nodeagent.main import run as run_agent

        gc.freeze()  # what was imported stays
    finally:
        gc.enable()
    return run_agent(config, *ahead)


def begun_ahead(config: Config) -> Iterator[object]:
    """The embedded API starts while the agent is still imported, once the folders are this agent's: its process, and they."""
    if not config.options.standalone:
        return
    embedded = standby.fork()
    try:
        held = folders.hold(Folders.of(config.options))
    except (StartError, OSError):
        return  # the agent will find the same, and tell it
    settings = EmbeddedAPISettings.of(config)
    embedded.begin(settings.arguments(settings.port))
    yield embedded
    yield held
