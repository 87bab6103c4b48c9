"""Which node a pod fits on: pure functions over plain objects."""
