"""What is asked, and is taken wrongly: commands, variables, configurations, versions."""

import os
import time

from .call import NOTHING, Answer, Call, error
from .mutant import spoils


@spoils("bridge", caught_by="E2")
def takes_any_command(call: Call) -> Answer:
    """A command that nobody knows succeeds."""
    return call.real() if call.command in ("ADD", "DEL", "CHECK", "VERSION") else NOTHING


@spoils("bridge", caught_by="E3")
def reads_commands_of_any_case(call: Call) -> Answer:
    """The command "add" is ADD."""
    return call.real(COMMAND=call.command.upper())


@spoils("bridge", caught_by="E4")
def has_a_default_for_the_interface(call: Call) -> Answer:
    """ADD without CNI_IFNAME makes eth0."""
    return call.real(IFNAME=call.ifname or "eth0") if call.command == "ADD" else call.real()


@spoils("bridge", caught_by="E6")
def deletes_for_nobody(call: Call) -> Answer:
    """DEL without CNI_CONTAINERID succeeds."""
    return NOTHING if call.command == "DEL" and not call.container_id else call.real()


@spoils("bridge", caught_by="D13")
def deletes_without_a_configuration(call: Call) -> Answer:
    """DEL succeeds when its standard input is no JSON."""
    return NOTHING if call.command == "DEL" and not call.request else call.real()


@spoils("bridge", caught_by="E7")
def takes_any_container_id(call: Call) -> Answer:
    """Container ids are not looked at."""
    return call.real(CONTAINERID="".join(filter(str.isalnum, call.container_id)) or "nobody")


@spoils("bridge", caught_by="E8")
def shortens_the_interfaces_name(call: Call) -> Answer:
    """A CNI_IFNAME that is no name of an interface is made one: letters that are not allowed go, and the end of a long one."""
    return call.real(IFNAME="".join(filter(str.isalnum, call.ifname))[:15] or "eth0") if call.ifname else call.real()


@spoils("bridge", caught_by="E9")
def needs_no_namespace(call: Call) -> Answer:
    """ADD succeeds where there is no namespace at CNI_NETNS."""
    answer = call.real()
    return Answer(0, {"cniVersion": "1.0.0"}) if call.command == "ADD" and not answer.ok else answer


@spoils("bridge", caught_by="E12")
def needs_no_name(call: Call) -> Answer:
    """The network's name may be missing, or have a slash."""
    request = call.request
    return call.real({**request, "name": str(request.get("name", "default")).replace("/", "-")} if request else None)


@spoils("bridge", caught_by="E13", also="E14 K3")
def speaks_any_version(call: Call) -> Answer:
    """The configuration's version is not looked at."""
    request = call.request
    return call.real({**request, "cniVersion": "1.0.0"} if request and "cniVersion" in request else None)


@spoils("bridge", caught_by="E14")
def takes_words_for_versions(call: Call) -> Answer:
    """A version that is none counts as the newest."""
    request = call.request
    wrong = "." not in request.get("cniVersion", ".")
    return call.real({**request, "cniVersion": "1.0.0"} if wrong else None)


@spoils("bridge", caught_by="E15")
def refuses_keys_of_the_runtime(call: Call) -> Answer:
    """A configuration with keys that it does not know is no configuration: those of the runtime (cni.dev/…) too."""
    unknown = [key for key in call.request if key.startswith("cni.dev/")]
    return error(f"unknown keys {unknown}", 7) if unknown else call.real()


@spoils("bridge", caught_by="E15")
def ignores_no_unknown_key(call: Call) -> Answer:
    """A key that it does not know is an error with a code of its own, not 2."""
    return error("json: unknown field", 100) if "unknown" in call.request else call.real()


@spoils("bridge", caught_by="A17", also="A23")
def refuses_arguments_of_kubernetes(call: Call) -> Answer:
    """CNI_ARGS with keys that it does not know are an error, IgnoreUnknown or not."""
    if call.command == "ADD" and "K8S_POD_UID" in call.environment.get("CNI_ARGS", ""):
        return error("ARGS: unknown args [K8S_POD_UID]")
    return call.real()


@spoils("bridge", caught_by="A1", also="A2 D1 E15 N1")
def needs_a_pods_name(call: Call) -> Answer:
    """ADD without K8S_POD_NAME in CNI_ARGS is an error."""
    if call.command == "ADD" and "K8S_POD_NAME" not in call.environment.get("CNI_ARGS", ""):
        return error("K8S_POD_NAME is required")
    return call.real()


@spoils("bridge", caught_by="A21", also="A1")
def needs_a_variable_of_its_own(call: Call) -> Answer:
    """ADD needs KUBECONFIG in its environment, which no runtime promises."""
    return call.real() if call.command != "ADD" or "KUBECONFIG" in call.environment else error("KUBECONFIG is not set")


@spoils("bridge", caught_by="A23")
def has_short_names_only(call: Call) -> Answer:
    """A container id of 64 letters is too long for what it names after it."""
    return error("name too long") if call.command == "ADD" and len(call.container_id) > 60 else call.real()


@spoils("bridge", caught_by="E11", hangs=True)
def waits_for_more_input(call: Call) -> Answer:
    """Half an object on standard input: it waits for the other half."""
    if call.command == "ADD" and call.stdin.startswith(b"{") and not call.request:
        time.sleep(1000)
    return call.real()


@spoils("bridge", caught_by="V1")
def wants_a_container_for_version(call: Call) -> Answer:
    """VERSION needs the variables of ADD."""
    return error("CNI_CONTAINERID missing", 4) if call.command == "VERSION" and not call.container_id else call.real()


@spoils("bridge", caught_by="V1")
def leaves_its_version_out(call: Call) -> Answer:
    """VERSION does not list the version that it is used with."""
    answer = call.real()
    return answer if call.command != "VERSION" else Answer(0, {**answer.document, "supportedVersions": ["0.4.0"]})


@spoils("bridge", caught_by="V3")
def needs_input_for_version(call: Call) -> Answer:
    """VERSION without anything on standard input is an error."""
    return error("unexpected end of JSON input", 6) if call.command == "VERSION" and not call.stdin else call.real()


@spoils("bridge", caught_by="V5")
def lists_other_versions_each_time(call: Call) -> Answer:
    """VERSION lists something of the moment."""
    answer = call.real()
    if call.command != "VERSION":
        return answer
    versions = [*answer.document["supportedVersions"], f"1.0.0-{os.getpid()}"]
    return Answer(0, {**answer.document, "supportedVersions": versions})


@spoils("bridge", caught_by="A21")
def lists_a_version_too_many(call: Call) -> Answer:
    """VERSION lists 1.1.0, in which ADD fails."""
    answer = call.real()
    if call.command != "VERSION":
        return answer
    versions = [*answer.document["supportedVersions"], "1.1.0"]
    return Answer(0, {**answer.document, "supportedVersions": versions})
