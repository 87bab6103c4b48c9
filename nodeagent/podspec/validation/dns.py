"""Names that a pod has and looks up: hostname, hostAliases, dnsPolicy, dnsConfig."""

from nodeagent.podspec.validation.rules import absent_or, problems
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048


def dns(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    policy = spec.get("dnsPolicy") or ""
    if policy not in POLICIES:
        errors.append(not_supported("spec.dnsPolicy", policy, POLICIES))
    config = spec.get("dnsConfig")
    if policy == "None":
        if config is None:
            errors.append(required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None"))
        elif not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(required("spec.dnsConfig.nameservers", text))
    if config is not None:
        errors += _config("spec.dnsConfig", config)
    for name in ("hostname", "subdomain"):
        errors += absent_or(f"spec.{name}", spec.get(name), names.dns1123_label)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"spec.hostAliases[{index}]"
        address = alias.get("ip") or ""
        errors += problems(f"{where}.ip", address, names.ip_address(address))
        for position, host in enumerate(alias.get("hostnames") or ()):
            errors += problems(f"{where}.hostnames[{position}]", host, names.dns1123_subdomain(host))
    return errors


def _config(path: str, config: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    servers = config.get("nameservers") or []
    if len(servers) > MAX_NAMESERVERS:
        text = f"must not have more than {MAX_NAMESERVERS} nameservers"
        errors.append(invalid(f"{path}.nameservers", servers, text))
    for index, server in enumerate(servers):
        errors += problems(f"{path}.nameservers[{index}]", server, names.ip_address(server))
    searches = config.get("searches") or []
    if len(searches) > MAX_SEARCHES:
        errors.append(invalid(f"{path}.searches", searches, f"must not have more than {MAX_SEARCHES} search paths"))
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        text = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        errors.append(invalid(f"{path}.searches", searches, text))
    for index, search in enumerate(searches):
        if not names.domain_name_loose(search):
            errors.append(invalid(f"{path}.searches[{index}]", search, names.SUBDOMAIN_TEXT))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))
    return errors
