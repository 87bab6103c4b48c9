"""The cases, by the calls that they are about. Ids are those of docs/facts/storage.md 11, and never change."""
