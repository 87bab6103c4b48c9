"""The roles there are, right by right those of the bootstrap policy of kube-apiserver 1.36 (the kinds of this API, and of
others what an access review may ask about)."""

from collections.abc import Mapping

from nodeagent.apiserver.auth.rules import Rule, at, on
from nodeagent.apiserver.kinds.bootstrap_tokens import GROUP as BOOTSTRAPPERS
from nodeagent.apiserver.kinds.bootstrap_tokens import KUBEADM_GROUP

_READ = "get list watch"

Rules = tuple[Rule, ...]

CLUSTER_ADMIN: Rules = (on("*", "*", "*"), at("*", "*"))

# reads what belongs to users, in all namespaces; nothing of the machine (nodes, their logs and proxies, volumes), no secret, and
# nothing that enters a pod
VIEW: Rules = (
    on(
        _READ,
        "",
        "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims "
        "persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale "
        "replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status",
    ),
    on(_READ, "discovery.k8s.io", "endpointslices"),
    on(
        _READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    on(_READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    on(_READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    on(_READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    on(_READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    on(_READ, "metrics.k8s.io", "nodes pods"),  # as metrics-server adds to it
)

# system:kubelet-api-admin: what the server itself may do at a node's HTTPS endpoint
KUBELET_API_ADMIN: Rules = (
    on(_READ, "", "nodes"),
    on("proxy", "", "nodes"),
    on("*", "", "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats"),
    on("get", "", "nodes/statusz"),  # beyond the built-in role: `nodeagent status` asks by the node's proxy
)

# as the sidecars external-provisioner and external-resizer have them where a cluster's drivers bring these
STORAGE_PROVISIONER: Rules = (
    on("get list watch create patch delete", "", "persistentvolumes"),
    on("get list watch patch", "", "persistentvolumeclaims"),
    on("patch", "", "persistentvolumeclaims/status"),
    on("create patch", "", "events"),
    on("get list watch create", "storage.k8s.io", "storageclasses"),
    on("get create", "storage.k8s.io", "csidrivers"),
    on("get", "storage.k8s.io", "volumeattributesclasses"),
)

# system:node-proxier, as far as a node has it not anyway: its own Node and events
NODE_PROXIER: Rules = (on("list watch", "", "services"), on("list watch", "discovery.k8s.io", "endpointslices"))

# of tokens for audiences that no volume of the pod names, as those of credential providers for registries
AUDIENCE_VERB = "request-serviceaccounts-token-audience"

# beyond what any node may: whoever configures the node of a standalone machine has nobody to ask
STANDALONE_NODE: Rules = (*NODE_PROXIER, on(AUDIENCE_VERB, "", "*"))

# system:basic-user and system:discovery
AUTHENTICATED_USER: Rules = (
    on("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
    on("create", "authentication.k8s.io", "selfsubjectreviews"),
    at("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"),
)

# system:public-info-viewer. Each check of the health endpoints by its name too: they tell no more than the whole
EVERYBODY: Rules = (at("get", "/healthz /healthz/* /livez /livez/* /readyz /readyz/* /version /version/"),)

MONITORING: Rules = (at("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),)

# system:service-account-issuer-discovery
ISSUER_DISCOVERY: Rules = (
    at(
        "get",
        "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
    ),
)

# system:node-bootstrapper
NODE_BOOTSTRAPPER: Rules = (on("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),)

# system:certificates.k8s.io:certificatesigningrequests:nodeclient and :selfnodeclient: what upstream's approver asks about
CLIENTS_OF_NODES: Rules = (on("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),)
OWN_CLIENT: Rules = (on("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),)

BY_ANNOTATION: Mapping[str, Rules] = {"cluster-admin": CLUSTER_ADMIN, "view": VIEW}
BY_GROUP: Mapping[str, Rules] = {
    "system:masters": CLUSTER_ADMIN,
    "system:authenticated": AUTHENTICATED_USER,
    "system:monitoring": MONITORING,
    "system:nodes": OWN_CLIENT,
    BOOTSTRAPPERS: NODE_BOOTSTRAPPER,
    KUBEADM_GROUP: CLIENTS_OF_NODES,
    "system:serviceaccounts": ISSUER_DISCOVERY,
}
