"""Names for Services and pods on a node that is a whole cluster: a small resolver on the pods' bridge.

Source: Kubernetes DNS-Based Service Discovery, version 1.1.0. A cluster with a DNS service of its own has no need of it.
"""
