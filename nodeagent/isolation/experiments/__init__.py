"""Measurements with pods of their own (`contract.Experiment`). What they mean is judged in `nodeagent/isolation/groups`."""
