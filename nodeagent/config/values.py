"""Values as Kubernetes configuration files write them: Go durations (`runtimes.kube.duration`) and quantities, and paths."""

from typing import NewType

Duration = NewType("Duration", str)
Quantity = NewType("Quantity", str)
# A relative one in a file is relative to the file (config/paths.py); empty: not set.
FilePath = NewType("FilePath", str)
# The same, but a bare name is looked for on PATH.
Program = NewType("Program", str)
