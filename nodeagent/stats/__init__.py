"""What pods and the node use: the stats summary and Prometheus metrics (docs/facts/api-client-and-server.md J.3)."""
