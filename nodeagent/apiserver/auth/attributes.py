"""What is asked of the authorizer, and its answer."""

from dataclasses import dataclass

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.selectors import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """One action. Either `path` is set (a URL that is no resource) or `resource`.

    `selection`: of a list or watch, None when unknown (a review).
    """

    user: UserInfo
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    selection: Selection | None = None

    @property
    def resource_id(self) -> str:
        """`pods`, `leases.coordination.k8s.io`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def single_name(self) -> str:
        """The one name that is asked for, by path or by selector; "" when there may be more."""
        return self.name or (self.selection.single_name if self.selection is not None else "")


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is for people; may be empty."""

    allowed: bool
    reason: str = ""


ALLOW = Decision(True)
DENY = Decision(False)
