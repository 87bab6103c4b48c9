"""Every case of csi/testing, for the drivers of plugin.py. No part of the project's own suite: proof.py runs it."""

from csi.testing.suite import *
