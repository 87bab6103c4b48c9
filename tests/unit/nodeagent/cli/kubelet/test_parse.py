"""A kubelet's command line is read as pflag reads it, and refused in its words."""

from typing import Any

import pytest

from nodeagent.cli.kubelet.parse import UsageError, parse


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["--max-pods=5", "--port", "1"], {"max-pods": 5, "port": 1}),
        (["--fail-swap-on", "--anonymous-auth=false"], {"fail-swap-on": True, "anonymous-auth": False}),
        (["-v4"], {"v": 4}),
        (["-v=4"], {"v": 4}),
        (["-v", "4"], {"v": 4}),
        (["--v=2"], {"v": 2}),
        (["--pod_manifest_path=/m"], {"pod-manifest-path": "/m"}),
        (["--cluster-dns=1.1.1.1,2.2.2.2", "--cluster-dns=::1"], {"cluster-dns": ["1.1.1.1", "2.2.2.2", "::1"]}),
        (
            ["--system-reserved=cpu=1,memory=1Gi", "--system-reserved=pid=9"],
            {"system-reserved": {"cpu": "1", "memory": "1Gi", "pid": "9"}},
        ),
        (["--eviction-hard=memory.available<5%"], {"eviction-hard": {"memory.available": "5%"}}),
        (["--eviction-hard="], {"eviction-hard": {}}),
        (["--feature-gates=A=true,B=false"], {"feature-gates": {"A": True, "B": False}}),
        (["--manifest-url-header=a:1,b:2,a:3"], {"manifest-url-header": {"a": ["1", "3"], "b": ["2"]}}),
        (
            ["--register-with-taints=a=b:NoSchedule,c:NoExecute"],
            {
                "register-with-taints": [
                    {"key": "a", "value": "b", "effect": "NoSchedule"},
                    {"key": "c", "value": "", "effect": "NoExecute"},
                ]
            },
        ),
        (
            ["--reserved-memory", "0:memory=1Gi,hugepages-2Mi=4Mi;1:memory=2Gi"],
            {
                "reserved-memory": [
                    {"numaNode": 0, "limits": {"memory": "1Gi", "hugepages-2Mi": "4Mi"}},
                    {"numaNode": 1, "limits": {"memory": "2Gi"}},
                ]
            },
        ),
        (["--cpu-manager-policy-options=a=b,c"], {"cpu-manager-policy-options": {"a": "b,c"}}),
        (["--vmodule=a*=3"], {"vmodule": [{"filePattern": "a*", "verbosity": 3}]}),
        (["--version"], {"version": "true"}),
        (["--version=raw"], {"version": "raw"}),
    ],
)
def test_values(arguments: list[str], values: dict[str, Any]) -> None:
    """As a KubeletConfiguration would have them."""
    assert parse(arguments).values == values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network-plugin=cni"], "unknown flag: --network-plugin"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["--max-pods"], "flag needs an argument: --max-pods"),
        (["-v"], "flag needs an argument: 'v' in -v"),
        (["serve"], "unknown command serve"),
        (["--", "serve"], "unknown command serve"),
        (
            ["--max-pods=many"],
            'invalid argument "many" for "--max-pods" flag: strconv.ParseInt: parsing "many": invalid syntax',
        ),
        (
            ["-v=99999999999"],
            'invalid argument "99999999999" for "-v, --v" flag: strconv.ParseInt: parsing "99999999999": value out of range',
        ),
        (
            ["--fail-swap-on=perhaps"],
            'invalid argument "perhaps" for "--fail-swap-on" flag: strconv.ParseBool: parsing "perhaps": invalid syntax',
        ),
        (
            ["--sync-frequency=5"],
            'invalid argument "5" for "--sync-frequency" flag: time: invalid duration "5"',
        ),
        (["--address=here"], 'invalid argument "here" for "--address" flag: failed to parse IP: "here"'),
        (
            ["--eviction-hard=memory.available=5%"],
            'invalid argument "memory.available=5%" for "--eviction-hard" flag: malformed pair, expect string<string',
        ),
        (["--feature-gates=A"], 'invalid argument "A" for "--feature-gates" flag: missing bool value for A'),
    ],
)
def test_refusals(arguments: list[str], message: str) -> None:
    """The text is pflag's."""
    with pytest.raises(UsageError) as told:
        parse(arguments)
    assert str(told.value) == message


def test_what_is_told_of_flags_in_use() -> None:
    """Deprecated ones in upstream's words; those that do nothing here, with the reason; nothing of the others."""
    given = parse(["--runtime-cgroups=/a", "--pod-infra-container-image=p", "--kubeconfig=/k", "--provider-id=x"])
    assert list(given.deprecations()) == [
        "Flag --pod-infra-container-image has been deprecated, will be removed in 1.35. Image garbage collector will get "
        "sandbox image information from CRI."
    ]
    assert list(given.idle()) == [
        "--runtime-cgroups has no effect here: the runtime's processes are not accounted for on their own",
        "--pod-infra-container-image has no effect here: runtimes know, and keep, their sandbox image themselves",
    ]
