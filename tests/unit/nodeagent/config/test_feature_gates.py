"""Feature gates as a kubelet takes them: known ones by their stage, unknown and locked ones refused, in its words."""

from nodeagent.config.feature_gates import GATES, Gate, Stage, acted_on, effective, known, refusals, remarks
from nodeagent.config.kubelet import KubeletConfiguration


def test_the_table() -> None:
    """No gate stands twice, and some are what the facts say of them."""
    assert GATES["NodeSwap"] == GATES["UserNamespacesSupport"] == Gate(Stage.GA, True, locked=True)
    assert GATES["PodLevelResources"] == Gate(Stage.BETA, True)
    assert GATES["MemoryQoS"] == GATES["EventedPLEG"] == Gate(Stage.ALPHA, False)
    assert GATES["NodeLogQuery"] == GATES["KubeletFineGrainedAuthz"] == Gate(Stage.GA, True, locked=True)
    assert GATES["DRAPrioritizedList"] == Gate(Stage.GA, True)
    assert GATES["ConstrainedImpersonation"] == GATES["WatchListClient"] == Gate(Stage.BETA, True)
    assert GATES["ClientsAllowCARotation"] == GATES["CRDObservedGenerationTracking"] == Gate(Stage.BETA, True)
    assert GATES["MaxUnavailableStatefulSet"] == Gate(Stage.BETA, False)
    assert GATES["ChangeContainerStatusOnKubeletRestart"] == Gate(Stage.DEPRECATED, False)


def test_no_gate_stands_twice() -> None:
    """Each has one stage: the table's words are as many as its gates."""
    from nodeagent.config.feature_gates import _TABLE

    assert sum(len(names.split()) for _, names in _TABLE) == len(GATES)


def test_refusals() -> None:
    """A locked gate may be set to what it is."""
    given = {"Nonsense": True, "NodeSwap": False, "ImageVolume": True, "AllAlpha": False, "MemoryQoS": True}
    assert list(refusals(given)) == [
        ("Nonsense", "unrecognized feature gate: Nonsense"),
        ("NodeSwap", "cannot set feature gate NodeSwap to false, feature is locked to true"),
    ]


def test_remarks() -> None:
    """GA and deprecated gates that are named, alpha ones that are on; beta ones are nobody's worry."""
    given = {"NodeSwap": True, "KMSv1": True, "MemoryQoS": True, "EventedPLEG": False, "PodLevelResources": False}
    assert list(remarks(given)) == [
        "Setting GA feature gate NodeSwap=true. It will be removed in a future release.",
        "Setting deprecated feature gate KMSv1=true. It will be removed in a future release.",
        "feature gate MemoryQoS=true is alpha",
    ]


def test_groups() -> None:
    """AllAlpha is every alpha gate that is not set by name."""
    found = effective({"AllAlpha": True, "MemoryQoS": False})
    assert (found["EventedPLEG"], found["MemoryQoS"], "PodLevelResources" in found) == (True, False, False)
    assert effective({"NodeSwap": True}) == {"NodeSwap": True}


def test_known() -> None:
    """Those that may be set, as `kubelet --help` lists them."""
    assert "MemoryQoS=true|false (ALPHA - default=false)" in known()
    assert not [line for line in known() if line.startswith("NodeSwap=")]


def test_acted_on() -> None:
    """Each gate that the code reads, with its stage; open as it is set, else as it is by default."""
    told = acted_on(
        KubeletConfiguration(featureGates={"MemoryQoS": True, "ComponentFlagz": False, "EventedPLEG": True})
    )
    assert told == [
        ("CPUManagerPolicyAlphaOptions", "ALPHA", False),
        ("ComponentFlagz", "BETA", False),
        ("ComponentStatusz", "BETA", True),
        ("ContainerCheckpoint", "BETA", True),
        ("KubeletCrashLoopBackOffMax", "BETA", True),
        ("KubeletEnsureSecretPulledImages", "BETA", True),
        ("MemoryQoS", "ALPHA", True),
        ("PodLevelResources", "BETA", True),
        ("PodLogsQuerySplitStreams", "ALPHA", False),
        ("ReduceDefaultCrashLoopBackOffDecay", "ALPHA", False),
    ]
