"""The embedded Kubernetes API of standalone mode: a REST endpoint of its own process over a SQLite journal."""
