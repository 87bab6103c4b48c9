"""What pods and the node use: the stats summary and Prometheus metrics (facts: api client and server, J.3)."""
