"""Rights as data: which verbs on which resources and paths, matched as RBAC matches its policy rules."""

from collections.abc import Iterable
from dataclasses import dataclass

from nodeagent.apiserver.auth.attributes import Attributes
from runtimes.kube.json_object import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Either `resources` of `groups` or `paths`. A subresource is a resource of its own (`pods/log`); `*` alone
    stands for everything; a path may end in `*`."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    def allows(self, asked: Attributes) -> bool:
        if not _has(self.verbs, asked.verb):
            return False
        if asked.path:
            return any(_covers(path, asked.path) for path in self.paths)
        resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        return _has(self.groups, asked.group) and _has(self.resources, resource)

    def shown(self) -> JsonObject:
        """As in the answer to a SelfSubjectRulesReview."""
        if self.paths:
            return {"verbs": sorted(self.verbs), "nonResourceURLs": sorted(self.paths)}
        return {"verbs": sorted(self.verbs), "apiGroups": sorted(self.groups), "resources": sorted(self.resources)}


def on(verbs: str, group: str, resources: str) -> Rule:
    """A rule from lists with spaces between; `group` is one."""
    return Rule(verbs=frozenset(verbs.split()), groups=frozenset({group}), resources=frozenset(resources.split()))


def at(verbs: str, paths: str) -> Rule:
    return Rule(verbs=frozenset(verbs.split()), paths=frozenset(paths.split()))


def allowed(rules: Iterable[Rule], asked: Attributes) -> bool:
    return any(rule.allows(asked) for rule in rules)


def _has(named: frozenset[str], wanted: str) -> bool:
    return wanted in named or "*" in named


def _covers(rule: str, path: str) -> bool:
    return rule == path or (rule.endswith("*") and path.startswith(rule[:-1]))
