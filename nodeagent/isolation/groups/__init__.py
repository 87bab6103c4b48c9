"""The groups of an evaluation, in the order in which they run: what is only looked at first, what loads the machine last."""
