"""CredentialProviderConfig (kubelet.config.k8s.io): which programs know the logins of which registries.

One file, or a folder whose *.json, *.yaml and *.yml files are read in the order of their names. Every mistake is reported; an
unknown field is one, as upstream. Source: docs/facts/node-resources.md 1.3; Kubernetes 1.36 kubelet.config.k8s.io/v1.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from runtimes.kube import bounded_yaml
from runtimes.kube.duration import seconds

KIND = "CredentialProviderConfig"
CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1alpha1", "v1beta1"))
PROTOCOL_V1 = "credentialprovider.kubelet.k8s.io/v1"
PROTOCOL_VERSIONS = (PROTOCOL_V1, f"{PROTOCOL_V1}alpha1", f"{PROTOCOL_V1}beta1")
CACHE_TYPES = ("ServiceAccount", "Token")
_SUFFIXES = (".json", ".yaml", ".yml")
_KEY_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY_NAME = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?")
_MAX_PREFIX = 253


class ProviderProblem(Exception):
    """The configuration of credential providers cannot be used; the text says where and why, one mistake a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAttributes:
    """A provider that wants a token of the pod's service account. `cache_by_token`: another token, another answer."""

    audience: str
    require_service_account: bool
    cache_by_token: bool
    required_annotations: tuple[str, ...] = ()
    optional_annotations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """One provider. `name` is its program's file name; `api_version` of the protocol that it speaks."""

    name: str
    match_images: tuple[str, ...]
    default_cache_seconds: float
    api_version: str = PROTOCOL_V1
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    token: TokenAttributes | None = None


class _Variable(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    value: str = ""


class _Tokens(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    service_account_token_audience: str = ""
    cache_type: str = ""
    require_service_account: bool | None = None
    required_service_account_annotation_keys: list[str] | None = None
    optional_service_account_annotation_keys: list[str] | None = None


class _Provider(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    name: str = ""
    match_images: list[str] | None = None
    default_cache_duration: str | None = None
    api_version: str = ""
    args: list[str] | None = None
    env: list[_Variable] | None = None
    token_attributes: _Tokens | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    kind: str = ""
    api_version: str = ""
    providers: list[_Provider] | None = None


def read_providers(path: Path) -> list[ProviderSettings]:
    """All providers of a file, or of a folder's files. Raises ProviderProblem."""
    found = [(file, provider) for file in _files(path) for provider in _read(file).providers or ()]
    problems = [f"{file}: {problem}" for file, provider in found for problem in _mistakes(provider)]
    if not found:
        problems.append(f"{path}: providers: at least 1 item in plugins is required")
    names = [provider.name for _, provider in found]
    problems += [
        f'{path}: duplicate provider name "{name}" found in configuration file(s)'
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise ProviderProblem("\n".join(problems))
    return [_settings(provider) for _, provider in found]


def _files(path: Path) -> Sequence[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and not file.is_dir())
    except OSError as error:
        raise ProviderProblem(f"{path}: {error.strerror}") from None
    if not files:
        raise ProviderProblem(f"no configuration files found in directory {path}")
    return files


def _read(file: Path) -> _Document:
    try:
        plain = bounded_yaml.read(file.read_bytes()).value
        document = msgspec.convert(plain, _Document)
    except OSError as error:
        raise ProviderProblem(f"{file}: {error.strerror}") from None
    except bounded_yaml.YamlError as error:
        raise ProviderProblem(f"{file}: not YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise ProviderProblem(f"{file}: {error}") from None
    if document.kind != KIND or document.api_version not in CONFIG_VERSIONS:
        raise ProviderProblem(f"{file}: {document.api_version} {document.kind} is no {CONFIG_VERSIONS[0]} {KIND}")
    return document


def _mistakes(provider: _Provider) -> Iterator[str]:
    name, where = provider.name, f'providers[name="{provider.name}"]'
    if not name:
        yield "providers.name: Required value"
    if "/" in name or " " in name or name in (".", ".."):
        yield f"{where}.name: provider name cannot contain '/' or spaces, or be '.' or '..'"
    if provider.api_version not in PROTOCOL_VERSIONS:
        yield f'{where}.apiVersion: "{provider.api_version}" is none of {", ".join(PROTOCOL_VERSIONS)}'
    if not provider.match_images:
        yield f"{where}.matchImages: at least 1 item in matchImages is required"
    for pattern in provider.match_images or ():
        if not _is_address(pattern):
            yield f'{where}.matchImages: match image is invalid: "{pattern}"'
    if provider.default_cache_duration is None:
        yield f"{where}.defaultCacheDuration: Required value"
    else:
        try:
            if seconds(provider.default_cache_duration) < 0:
                yield f"{where}.defaultCacheDuration: must be greater than or equal to 0"
        except ValueError as error:
            yield f"{where}.defaultCacheDuration: {error}"
    for number, variable in enumerate(provider.env or ()):
        if not variable.name or "=" in variable.name or "\0" in variable.name + variable.value:
            yield f"{where}.env[{number}]: not a variable's name"
    if provider.token_attributes is not None:
        yield from _token_mistakes(provider.token_attributes, provider.api_version, f"{where}.tokenAttributes")


def _token_mistakes(token: _Tokens, api_version: str, where: str) -> Iterator[str]:
    required = token.required_service_account_annotation_keys or []
    optional = token.optional_service_account_annotation_keys or []
    if not token.service_account_token_audience:
        yield f"{where}.serviceAccountTokenAudience: Required value"
    if token.require_service_account is None:
        yield f"{where}.requireServiceAccount: Required value"
    if api_version != PROTOCOL_V1:
        yield f"{where}: tokenAttributes is only supported for {PROTOCOL_V1} API version"
    if token.require_service_account is False and required:
        yield (
            f"{where}.requiredServiceAccountAnnotationKeys: requireServiceAccount cannot be false when "
            "requiredServiceAccountAnnotationKeys is set"
        )
    for field, keys in (("required", required), ("optional", optional)):
        for key in keys:
            if not _is_qualified(key):
                yield f'{where}.{field}ServiceAccountAnnotationKeys: "{key}" is not a qualified name'
            if keys.count(key) > 1:
                yield f'{where}.{field}ServiceAccountAnnotationKeys: Duplicate value: "{key}"'
    for key in sorted(set(required) & set(optional)):
        yield f'{where}: "{key}": annotation keys cannot be both required and optional'
    if not token.cache_type:
        yield (
            f"{where}.cacheType: cacheType is required to be set when tokenAttributes is specified. "
            f"Supported values are: {', '.join(CACHE_TYPES)}"
        )
    elif token.cache_type not in CACHE_TYPES:
        yield f'{where}.cacheType: "{token.cache_type}" is none of {", ".join(CACHE_TYPES)}'


def _settings(provider: _Provider) -> ProviderSettings:
    token = provider.token_attributes
    return ProviderSettings(
        name=provider.name,
        match_images=tuple(provider.match_images or ()),
        default_cache_seconds=seconds(provider.default_cache_duration or "0"),
        api_version=provider.api_version,
        args=tuple(provider.args or ()),
        env=tuple((variable.name, variable.value) for variable in provider.env or ()),
        token=None
        if token is None
        else TokenAttributes(
            audience=token.service_account_token_audience,
            require_service_account=bool(token.require_service_account),
            cache_by_token=token.cache_type == "Token",
            required_annotations=tuple(token.required_service_account_annotation_keys or ()),
            optional_annotations=tuple(token.optional_service_account_annotation_keys or ()),
        ),
    )


def program_of(settings: ProviderSettings, bin_dir: Path) -> Path:
    """The provider's program, which must be there when the agent starts. Raises ProviderProblem."""
    if not bin_dir.is_dir():
        raise ProviderProblem(f"plugin binary directory {bin_dir} did not exist")
    program = bin_dir / settings.name
    if not program.exists():
        raise ProviderProblem(f"plugin binary executable {program} did not exist")
    if not program.is_file() or not os.access(program, os.X_OK):
        raise ProviderProblem(f"error inspecting binary executable {program}: not an executable file")
    return program


def _is_address(pattern: str) -> bool:
    """host[:port][/path], globs in the host."""
    try:
        parsed = urlsplit(f"https://{pattern}")
        _ = parsed.port
    except ValueError:
        return False
    host = parsed.netloc
    return bool(host) and not re.search(r"[\s%\"<>\\^`{|}\x00-\x1f\x7f]", host) and "%" not in parsed.path


def _is_qualified(key: str) -> bool:
    prefix, slash, name = key.lower().rpartition("/")
    if slash and (len(prefix) > _MAX_PREFIX or not _KEY_PREFIX.fullmatch(prefix)):
        return False
    return _KEY_NAME.fullmatch(name) is not None
