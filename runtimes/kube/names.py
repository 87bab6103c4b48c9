"""The syntaxes of names in the Kubernetes API, each as a function that returns what is wrong (nothing: an empty list)."""

import ipaddress
import re

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

_LABEL_FORM = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FORM = rf"{_LABEL_FORM}(\.{_LABEL_FORM})*"
_DNS1035_FORM = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_FORM = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE_FORM = f"({_QUALIFIED_FORM})?"

_LABEL = re.compile(_LABEL_FORM)
_SUBDOMAIN = re.compile(_SUBDOMAIN_FORM)
_DNS1035 = re.compile(_DNS1035_FORM)
_QUALIFIED = re.compile(_QUALIFIED_FORM)
_LABEL_VALUE = re.compile(_LABEL_VALUE_FORM)
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?", re.IGNORECASE)
_UPPER_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?")

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
ENV_NAME_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
PORT_NUMBER_TEXT = "must be between 1 and 65535, inclusive"
IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def max_length_text(limit: int) -> str:
    return f"must be no more than {limit} characters"


def dns1123_label(text: str) -> list[str]:
    return _bounded(text, LABEL_MAX, _LABEL, LABEL_TEXT)


def dns1123_subdomain(text: str) -> list[str]:
    return _bounded(text, SUBDOMAIN_MAX, _SUBDOMAIN, SUBDOMAIN_TEXT)


def dns1035_label(text: str) -> list[str]:
    return _bounded(text, LABEL_MAX, _DNS1035, DNS1035_TEXT)


def qualified_name(text: str) -> list[str]:
    """`name` or `prefix/name`, as label keys, taint keys and resource names are written."""
    parts = text.split("/")
    if len(parts) > 2:
        return [
            "a qualified name "
            + QUALIFIED_TEXT.removeprefix("name part ")[:-1]
            + ") with an optional DNS subdomain prefix "
            "and '/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        else:
            problems.extend(f"prefix part {problem}" for problem in dns1123_subdomain(parts[0]))
    name = parts[-1]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > LABEL_MAX:
        problems.append("name part " + max_length_text(LABEL_MAX))
    if not _QUALIFIED.fullmatch(name):
        problems.append(QUALIFIED_TEXT)
    return problems


def label_value(text: str) -> list[str]:
    return _bounded(text, LABEL_MAX, _LABEL_VALUE, LABEL_VALUE_TEXT)


def config_key(text: str) -> list[str]:
    problems = []
    if len(text) > SUBDOMAIN_MAX:
        problems.append(max_length_text(SUBDOMAIN_MAX))
    if not _CONFIG_KEY.fullmatch(text):
        problems.append(CONFIG_KEY_TEXT)
    if text == ".":
        problems.append("must not be '.'")
    if text == "..":
        problems.append("must not be '..'")
    elif text.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def env_name(text: str) -> list[str]:
    return [] if _ENV_NAME.fullmatch(text) else [ENV_NAME_TEXT]


def port_name(text: str) -> list[str]:
    """An IANA service name: at most 15 characters, lower case alphanumerics and single inner hyphens."""
    problems = []
    if len(text) > 15:
        problems.append("must be no more than 15 characters")
    if not re.fullmatch("[-a-z0-9]+", text):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        problems.append("must contain at least one letter (a-z)")
    if "--" in text:
        problems.append("must not contain consecutive hyphens")
    if text[:1] == "-" or text[-1:] == "-":
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(number: int) -> list[str]:
    return [] if 1 <= number <= 65535 else [PORT_NUMBER_TEXT]


def ip_address(text: str) -> list[str]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [IP_TEXT]
    return []


def sysctl_name(text: str) -> bool:
    """A sysctl, segments separated by dots or slashes."""
    return len(text) <= SUBDOMAIN_MAX and _SYSCTL.fullmatch(text) is not None


def domain_name_loose(text: str) -> bool:
    """A DNS search domain: labels of any case and with underscores, an optional final dot, or the root alone."""
    if text == ".":
        return True
    labels = text.removesuffix(".").split(".")
    return all(0 < len(label) <= LABEL_MAX and _UPPER_LABEL.fullmatch(label.strip("_") or "a") for label in labels)


def _bounded(text: str, limit: int, form: re.Pattern[str], explanation: str) -> list[str]:
    problems = []
    if len(text) > limit:
        problems.append(max_length_text(limit))
    if not form.fullmatch(text):
        problems.append(explanation)
    return problems
