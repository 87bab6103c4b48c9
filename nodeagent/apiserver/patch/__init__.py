"""The patch formats. Each is a function of (document, patch) to a new document; none changes its arguments."""
