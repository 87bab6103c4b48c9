"""Addresses of pods, kept on disk as host-local keeps them (docs/facts/network.md 6), so that either may go on for the other."""
