"""SPDY/3.1 as Kubernetes' streaming requests use it (facts: api client and server, section M)."""
