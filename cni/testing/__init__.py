"""Checks of CNI plugins, for whoever writes or chooses a network. Needs root, Linux and `pip install nodeagent[test]`.

Of any network configuration, without a line of code:

    sudo pytest --pyargs cni.testing --cni-conf 10-mine.conflist --cni-bin-dir ./bin --cni-bin-dir /opt/cni/bin

In a test file of a package:

    import pytest
    from cni.testing.implementation import Implementation
    from cni.testing.suite import *

    @pytest.fixture
    def network_implementation() -> Implementation:
        return Implementation(name="mine", document={...}, bin_dirs=(Path("bin"),))

Every check has a host of its own: fresh network namespaces for the node, for a neighbour outside, and for each pod. cases/ are
the checks, fixtures.py what they are given, subject.py a network with few words, implementation.py what is tested, plugin.py the
options. docs/testing-cni.md says more.
"""
