"""The contract of `runtimes.contract` as tests, for whoever writes or chooses a runtime. Needs `pip install nodeagent[test]`.

Of any CRI endpoint, without a line of code:

    sudo pytest --pyargs runtimes.testing --runtime-endpoint unix:///run/containerd/containerd.sock

Of a runtime type of a package, in a test file of that package:

    import pytest
    from runtimes.testing.implementation import Implementation
    from runtimes.testing.suite import *

    @pytest.fixture
    def runtime_implementation() -> Implementation:
        return Implementation(name="traced", type="traced", settings={"path": "/usr/sbin/runc"})

cases/ are the tests, fixtures.py what they are given, subject.py a started runtime with few words, abilities.py what a runtime
may lack, plugin.py the options. docs/runtime-plugins.md says more.
"""
