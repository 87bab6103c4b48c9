"""What a kubelet refuses of its configuration: each rule with the value that breaks it, and its neighbour that does not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeagent.config import ConfigProblem, Options, load

GIBI = "1Gi"
CGROUPS = {"systemReservedCgroup": "/s", "kubeReservedCgroup": "/k"}
TAINT = {"key": "a", "effect": "NoSchedule"}


def problems(path: Path, fields: dict[str, Any]) -> list[str]:
    """The mistakes, without file and line."""
    document = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **fields}
    file = path / "config.yaml"
    file.write_text(yaml.safe_dump(document))
    try:
        load(Options(config_file=file))
    except ConfigProblem as caught:
        return [line.removeprefix(f"{file}:").partition(": ")[2] for line in caught.problems]
    return []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"enforceNodeAllocatable": ["all"]}, 'enforceNodeAllocatable[0]: option "all" is none of pods, system-reserved, '),
    ({"enforceNodeAllocatable": ["pods", "pods"]}, 'enforceNodeAllocatable[1]: duplicated enforcements "pods"'),
    (
        {"enforceNodeAllocatable": ["none", "pods"]},
        "enforceNodeAllocatable[0]: may not contain additional enforcements",
    ),
    (
        {"enforceNodeAllocatable": ["pods", "system-reserved"]},
        'enforceNodeAllocatable[1]: systemReservedCgroup must be specified when "system-reserved" or '
        '"system-reserved-compressible" is included',
    ),
    (
        {"enforceNodeAllocatable": ["kube-reserved-compressible"]},
        'enforceNodeAllocatable[0]: kubeReservedCgroup must be specified when "kube-reserved" or ',
    ),
    (
        {"enforceNodeAllocatable": ["kube-reserved", "kube-reserved-compressible"], **CGROUPS},
        'enforceNodeAllocatable: both "kube-reserved" and "kube-reserved-compressible" cannot be specified together',
    ),
    (
        {"cgroupsPerQOS": False},
        'enforceNodeAllocatable[0]: cgroupsPerQOS must be set to true when "pods" is contained in enforceNodeAllocatable',
    ),
    (
        {"evictionSoft": {"memory.available": GIBI}},
        "evictionSoft.memory.available: grace period must be specified for the soft eviction threshold memory.available",
    ),
    (
        {"evictionSoft": {"memory.available": GIBI}, "evictionSoftGracePeriod": {"memory.available": "-1s"}},
        "evictionSoftGracePeriod.memory.available: invalid eviction grace period specified: -1s, must be a positive value",
    ),
    (
        {"evictionSoftGracePeriod": {"memory.available": "soon"}},
        "evictionSoftGracePeriod.memory.available: 'soon' is not a duration such as 1m30s",
    ),
    ({"evictionHard": {"memory": GIBI}}, "evictionHard.memory: unsupported eviction signal memory"),
    ({"evictionHard": {"memory.available": "110%"}}, "evictionHard.memory.available: 110% must be between 0% and 100%"),
    ({"evictionHard": {"memory.available": "-1Gi"}}, "evictionHard.memory.available: -1Gi must be positive"),
    ({"evictionHard": {"memory.available": "0"}}, "evictionHard.memory.available: 0 must be positive"),
    (
        {"evictionMinimumReclaim": {"nodefs.available": "0%"}},
        "evictionMinimumReclaim.nodefs.available: 0% must be positive",
    ),
    (
        {"evictionHard": {"nodefs.available": "nan%"}},
        "evictionHard.nodefs.available: 'nan%' is neither a quantity such as",
    ),
    ({"evictionHard": {"nodefs.available": "x%"}}, "evictionHard.nodefs.available: 'x%' is neither a quantity such as"),
    (
        {"evictionMinimumReclaim": {"pid.available": "-5"}},
        "evictionMinimumReclaim.pid.available: -5 must not be negative",
    ),
    (
        {"registerWithTaints": [TAINT | {"effect": "No"}]},
        "registerWithTaints[0].effect: invalid taint effect: 'No' is none",
    ),
    ({"registerWithTaints": [{"key": "a"}]}, "registerWithTaints[0]: Object missing required field `effect`"),
    ({"registerWithTaints": [TAINT | {"key": "a b"}]}, "registerWithTaints[0].key: invalid taint: 'a b' is not a name"),
    ({"registerWithTaints": [TAINT | {"key": "/a"}]}, "registerWithTaints[0].key: invalid taint: '/a' is not a name"),
    (
        {"registerWithTaints": [TAINT | {"value": "-"}]},
        "registerWithTaints[0].value: invalid taint: '-' is not a label value",
    ),
    (
        {"registerWithTaints": [TAINT, TAINT]},
        "registerWithTaints[1]: duplicated taints with the same key and effect: a:NoS",
    ),
    ({"logging": {"format": "xml"}}, "logging.format: 'xml': unsupported log format"),
    ({"logging": {"verbosity": -1}}, "logging.verbosity: -1 is not between 0 and 2147483647"),
    ({"logging": {"flushFrequency": "-1s"}}, "logging.flushFrequency: -1s must not be negative"),
    (
        {"logging": {"format": "json", "vmodule": [{"filePattern": "a", "verbosity": 1}]}},
        "logging.vmodule: only supported for the text log format",
    ),
    (
        {"logging": {"vmodule": [{"filePattern": "", "verbosity": 1}]}},
        "logging.vmodule[0].filePattern: '' is not a pattern",
    ),
    ({"cpuCFSQuotaPeriod": "2s"}, "cpuCFSQuotaPeriod: 2s must be between 1ms and 1s"),
    (
        {"crashLoopBackOff": {"maxContainerRestartPeriod": "301s"}},
        "crashLoopBackOff.maxContainerRestartPeriod: 301s must be",
    ),
    ({"imageMinimumGCAge": "-1s"}, "imageMinimumGCAge: -1s must not be negative"),
    ({"imageMaximumGCAge": "1m"}, "imageMaximumGCAge: 1m must be greater than imageMinimumGCAge 2m"),
    ({"kubeAPIQPS": -1}, "kubeAPIQPS: -1 is not between 0 and 2147483648"),
    ({"registryBurst": -1}, "registryBurst: -1 is not between 0 and 2147483648"),
    ({"systemCgroups": "/a"}, "systemCgroups: was specified and cgroupRoot was not specified"),
    (
        {"maxParallelImagePulls": 2, "serializeImagePulls": True},
        "maxParallelImagePulls: cannot be larger than 1 unless serializeImagePulls is set to false",
    ),
    (
        {"shutdownGracePeriod": "10s", "shutdownGracePeriodCriticalPods": "20s"},
        "shutdownGracePeriodCriticalPods: 20s must be <= shutdownGracePeriod 10s",
    ),
    ({"shutdownGracePeriod": "10ms"}, "shutdownGracePeriod: 10ms must be either zero or otherwise >= 1 sec"),
    (
        {
            "shutdownGracePeriod": "10s",
            "shutdownGracePeriodByPodPriority": [{"priority": 1, "shutdownGracePeriodSeconds": 1}],
        },
        "shutdownGracePeriodByPodPriority: cannot specify both",
    ),
    (
        {"memoryThrottlingFactor": 0.0},
        "memoryThrottlingFactor: 0.0 must be greater than 0 and less than or equal to 1.0",
    ),
    ({"memoryReservationPolicy": "TieredReservation"}, "memoryReservationPolicy: TieredReservation requires MemoryQoS"),
    ({"reservedSystemCPUs": "0-", **CGROUPS}, "reservedSystemCPUs: can't be used with systemReservedCgroup"),
    ({"cpuManagerPolicy": "static"}, "cpuManagerPolicy: [cpumanager] the static policy requires systemreserved.cpu"),
    (
        {"cpuManagerPolicyOptions": {"full-pcpus-only": "true"}},
        "cpuManagerPolicyOptions: none policy: received unsupported options",
    ),
    ({"memoryManagerPolicy": "Static"}, "memoryManagerPolicy: [memorymanager] you should specify the system reserved"),
    ({"reservedSystemCPUs": "3-1"}, "reservedSystemCPUs: '3-1' is not a list of CPUs such as 0-1,4"),
    (
        {"systemReserved": {"memory": "-1Gi"}},
        "systemReserved.memory: resource quantity for 'memory' cannot be negative: -1Gi",
    ),
    ({"qosReserved": {"cpu": "50%"}}, "qosReserved.cpu: '50%': only memory, as a percentage up to 100%"),
    (
        {"reservedMemory": [{"numaNode": 0, "limits": {"cpu": "1"}}]},
        "reservedMemory[0].limits.cpu: the limit type 'cpu' for NUMA node 0 should not be specified",
    ),
    (
        {"reservedMemory": [{"numaNode": 0, "limits": {"memory": GIBI}}, {"numaNode": 0, "limits": {"memory": GIBI}}]},
        "reservedMemory[1].limits.memory: the reserved memory has a duplicate value for NUMA node 0",
    ),
    (
        {"tracing": {"samplingRatePerMillion": 1000001}},
        "tracing.samplingRatePerMillion: sampling rate must be between 0",
    ),
    (
        {"enableSystemLogQuery": True, "enableSystemLogHandler": False},
        "enableSystemLogQuery: enableSystemLogHandler is required for it",
    ),
    (
        {"tlsCipherSuites": ["TLS_AES_128_GCM_SHA256", "AES128-SHA"]},
        "tlsCipherSuites[1]: Cipher suite AES128-SHA not supported or doesn't exist",
    ),
    (
        {"tlsCipherSuites": ["TLS_RSA_WITH_RC4_128_SHA"]},
        "tlsCipherSuites[0]: Cipher suite TLS_RSA_WITH_RC4_128_SHA cannot be offered: this machine's OpenSSL",
    ),
    ({"tlsCurvePreferences": [29, 23]}, "tlsCurvePreferences: only one curve can be held to here"),
    ({"tlsCurvePreferences": [1]}, "tlsCurvePreferences: 1 is none of the curves that can be held to here: 23 "),
    ({"tlsMinVersion": "TLS1"}, "tlsMinVersion: 'TLS1' is none of VersionTLS10, "),
]


@pytest.mark.parametrize(
    ("fields", "told"), REFUSED, ids=[next(iter(fields)) + ": " + told[:40] for fields, told in REFUSED]
)
def test_what_is_refused(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    """The first line told names the field and the rule, in upstream's terms."""
    found = problems(tmp_path, fields)
    assert found
    assert found[0].startswith(told)


@pytest.mark.parametrize(
    "fields",
    [
        {"enforceNodeAllocatable": []},
        {"enforceNodeAllocatable": ["none"]},
        {"enforceNodeAllocatable": ["none"], "cgroupsPerQOS": False},
        {"enforceNodeAllocatable": [], "cgroupsPerQOS": False},
        {"enforceNodeAllocatable": ["pods", "system-reserved", "kube-reserved-compressible"], **CGROUPS},
        {"evictionSoft": {"memory.available": "5%"}, "evictionSoftGracePeriod": {"memory.available": "1m"}},
        {"evictionSoft": {"memory.available": "0%"}},
        {"evictionHard": {"memory.available": "0%", "imagefs.inodesFree": "100%", "pid.available": "10"}},
        {"registerWithTaints": [{"key": "example.com/a_b", "value": "", "effect": "NoExecute"}, TAINT]},
        {"logging": {"format": "json", "verbosity": 4, "flushFrequency": 5000000000}},
        {"cpuCFSQuotaPeriod": "1ms"},
        {"crashLoopBackOff": {"maxContainerRestartPeriod": "1s"}},
        {"imageMaximumGCAge": "3m"},
        {"maxParallelImagePulls": 2, "serializeImagePulls": False},
        {"maxParallelImagePulls": 2},
        {"shutdownGracePeriod": "20s", "shutdownGracePeriodCriticalPods": "20s"},
        {"memoryReservationPolicy": "TieredReservation", "featureGates": {"MemoryQoS": True}},
        {"reservedSystemCPUs": "0-1,3"},
        {"systemCgroups": "/a", "cgroupRoot": "/"},
    ],
    ids=str,
)
def test_what_is_taken(tmp_path: Path, fields: dict[str, Any]) -> None:
    """The neighbours of what is refused."""
    assert problems(tmp_path, fields) == []
