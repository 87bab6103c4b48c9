"""Objects on disk and in memory: the journal (SQLite), the state built from it, and who is told of changes."""
