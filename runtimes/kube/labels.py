"""The labels by which sandboxes and containers in a runtime say whose they are.

Every kubelet sets them; crictl, log collectors and metrics go by them.
"""

from typing import Final

LABEL_POD_NAME: Final = "io.kubernetes.pod.name"
LABEL_POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
LABEL_POD_UID: Final = "io.kubernetes.pod.uid"
LABEL_CONTAINER_NAME: Final = "io.kubernetes.container.name"
