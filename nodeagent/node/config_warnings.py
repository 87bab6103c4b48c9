"""Warnings about a configuration that is valid and not safe."""

from nodeagent.config import Config


def config_warnings(config: Config) -> list[str]:
    """One line each, with the way out. Who may use the node's HTTPS endpoint, and by which port."""
    kubelet = config.kubelet
    told = []
    always, anonymous = kubelet.authorization.mode == "AlwaysAllow", kubelet.authentication.anonymous.enabled
    if always and anonymous:
        told.append(
            f"authentication.anonymous and authorization.mode AlwaysAllow: whoever reaches port {kubelet.port} runs commands in "
            "every pod; set authentication.anonymous.enabled to false, or authorization.mode to Webhook"
        )
    elif always:
        told.append(
            "authorization.mode AlwaysAllow: whoever the API or the client CA knows runs commands in all pods; set it to Webhook"
        )
    elif anonymous:
        told.append(
            "authentication.anonymous: the API decides what strangers may do on the node's port; set "
            "authentication.anonymous.enabled to false unless a load balancer needs it"
        )
    if kubelet.readOnlyPort:
        told.append(
            f"readOnlyPort: port {kubelet.readOnlyPort} shows all pods and their environment to whoever reaches it; set it to 0"
        )
    return told
