"""The labels by which sandboxes and containers in a runtime say whose they are.

Every kubelet sets them; crictl, log collectors and metrics go by them.
"""

LABEL_POD_NAME = "io.kubernetes.pod.name"
LABEL_POD_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_POD_UID = "io.kubernetes.pod.uid"
LABEL_CONTAINER_NAME = "io.kubernetes.container.name"
