"""What pods and the node use: readers, and their one cache (`provider.Statistics`); docs/facts/node-resources.md 7."""
