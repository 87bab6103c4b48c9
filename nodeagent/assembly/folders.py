"""The agent's folders: made, and held against other agents."""

from nodeagent import folders
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.folders import Folders, Held
from nodeagent.volumes.propagation import shared_root


async def start_folders(scope: Scope, config: Config, held: Held | None) -> Folders:
    """`held`: they are this agent's already. Raises StartError."""
    found = Folders.of(config.options)
    scope.stack.callback((held or folders.hold(found)).close)
    scope.stack.enter_context(shared_root(found.root))
    return found
