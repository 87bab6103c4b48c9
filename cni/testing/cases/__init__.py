"""The checks, a file a subject."""
