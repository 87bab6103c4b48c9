"""Group 5: known escapes, replayed up to the step that would do harm: what is opened is not written, packets stay among pods."""
