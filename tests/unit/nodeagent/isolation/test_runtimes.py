"""Which runtimes are evaluated."""

from pathlib import Path

import pytest

from nodeagent.config import Config, KubeletConfiguration, NodeAgentConfiguration, Options, RuntimeSettings
from nodeagent.isolation.runtimes import NoRuntime, runtimes_of

CRUN, RUNC = (RuntimeSettings(type="oci", path=name) for name in ("/crun", "/runc"))  # type: ignore[arg-type]


def config(**runtimes: RuntimeSettings) -> Config:
    agent = NodeAgentConfiguration(runtimes=runtimes)
    return Config(options=Options(config_file=Path("/c")), kubelet=KubeletConfiguration(), agent=agent)


def test_all_or_those_that_are_named() -> None:
    """In the order of the command line, each once."""
    both = config(crun=CRUN, runc=RUNC)
    assert list(runtimes_of(both, ())) == ["crun", "runc"]
    assert list(runtimes_of(both, ("runc", "crun", "runc"))) == ["runc", "crun"]


def test_those_that_are_not_there() -> None:
    """The valid ones are told; none at all says what to do."""
    with pytest.raises(NoRuntime, match="'kata' is none of crun, runc"):
        runtimes_of(config(crun=CRUN, runc=RUNC), ("kata",))
    with pytest.raises(NoRuntime, match="install runc, crun or runsc"):
        runtimes_of(config(), ())
    with pytest.raises(NoRuntime, match="call it something else"):
        runtimes_of(config(host=CRUN), ())
