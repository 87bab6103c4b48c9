"""Restart decisions: docs/facts/pod-lifecycle.md 4.2 and 4.5."""

from typing import Any

import pytest

from nodeagent.pods.rules.restart import has_restart_all_rule, restarts_after_exit, restarts_after_kill, rule_action


def _rule(operator: str, values: list[int], action: str = "Restart") -> dict[str, object]:
    return {"action": action, "exitCodes": {"operator": operator, "values": values}}


@pytest.mark.parametrize(
    ("policy", "own", "rules", "exit_code", "expected"),
    [
        ("Always", None, [], 0, True),
        ("Always", None, [], 1, True),
        ("OnFailure", None, [], 0, False),
        ("OnFailure", None, [], 1, True),
        ("Never", None, [], 0, False),
        ("Never", None, [], 1, False),
        # the container's own policy stands before the pod's
        ("Never", "Always", [], 0, True),
        ("Never", "OnFailure", [], 3, True),
        ("Always", "OnFailure", [], 0, False),
        ("Always", "Never", [], 3, False),
        # and the first matching rule before both
        ("Never", "Never", [_rule("In", [3, 4])], 4, True),
        ("Never", "Never", [_rule("In", [3, 4])], 5, False),
        ("Never", "Never", [_rule("NotIn", [3])], 5, True),
        ("Never", "Never", [_rule("NotIn", [3])], 3, False),
        ("Never", "Never", [_rule("In", [9], "RestartAllContainers")], 9, True),
        ("Always", "Always", [_rule("In", [3])], 4, True),
        # rules need the container's own policy
        ("Never", None, [_rule("In", [3])], 3, False),
    ],
)
def test_4_5(kit: Any, policy: Any, own: Any, rules: Any, exit_code: Any, expected: Any) -> None:
    """4.5, each line: rules, then the container's policy, then the pod's."""
    fields: dict[str, object] = {"name": "main", "restartPolicyRules": rules}
    if own:
        fields["restartPolicy"] = own
    pod = kit.pod([fields], restartPolicy=policy)
    assert restarts_after_exit(pod, pod.spec.containers[0], exit_code) is expected


def test_the_first_matching_rule_decides(kit: Any) -> None:
    """4.5.1: of several rules that match, the first one's action counts."""
    rules = [_rule("In", [1], "RestartAllContainers"), _rule("In", [1, 2], "Restart")]
    pod = kit.pod([{"name": "main", "restartPolicy": "Never", "restartPolicyRules": rules}])
    actions = [rule_action(pod.spec.containers[0], code) for code in (1, 2, 3)]
    assert actions == ["RestartAllContainers", "Restart", None]
    assert has_restart_all_rule(pod)
    assert not has_restart_all_rule(kit.pod())


@pytest.mark.parametrize(
    ("policy", "own", "expected"),
    [("Always", None, True), ("OnFailure", None, True), ("Never", None, False), ("Never", "Always", True),
     ("Always", "Never", False)],
)  # fmt: skip
def test_probe_kills_ask_no_exit_code(kit: Any, policy: Any, own: Any, expected: Any) -> None:
    """4.2: for probe kills "restartable" is policy ≠ Never, the container's if set."""
    fields = {"name": "main", **({"restartPolicy": own} if own else {})}
    pod = kit.pod([fields], restartPolicy=policy)
    assert restarts_after_kill(pod, pod.spec.containers[0]) is expected
