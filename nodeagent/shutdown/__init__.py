"""Graceful node shutdown: the machine waits for its pods to end, the less important ones first."""
