"""What each kind of the embedded API means: defaults, admission, validation, and the controllers around the objects.

The server calls in here through `contract.KindHooks` and gives `contract.LocalApi` to the controllers; nothing here knows
HTTP or storage. Hooks may assume that types are right and that what says nothing is absent: `apitypes.encode.read` comes
before them.
"""

from nodeagent.apiserver.kinds.by_resource import hooks_for
from nodeagent.apiserver.kinds.controllers import Controller, controllers
from nodeagent.apiserver.kinds.controllers.own_service import OwnService

__all__ = ["Controller", "OwnService", "controllers", "hooks_for"]
