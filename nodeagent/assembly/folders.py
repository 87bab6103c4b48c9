"""The agent's folders: made, and held against other agents."""

from nodeagent import folders
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.volumes.propagation import shared_root


async def start_folders(scope: Scope, config: Config) -> Folders:
    """Raises AgentStartError."""
    found = Folders.of(config.options)
    folders.make(found)
    folders.own(found, scope.stack)
    scope.stack.enter_context(shared_root(found.root))
    return found
