"""SPDY/3.1 as Kubernetes' streaming requests use it (docs/facts/api-client-and-server.md M)."""
