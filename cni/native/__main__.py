"""`python -m cni.native`: the executable `nodeagent-cni`."""

import sys

from cni.native.protocol import main

sys.exit(main())
