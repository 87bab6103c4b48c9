"""CredentialProviderConfig: what is taken, and every mistake that is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeagent.images.providers.config import (
    ProviderProblem,
    ProviderSettings,
    TokenAttributes,
    program_of,
    read_providers,
)

GOOD: dict[str, Any] = {
    "name": "p",
    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    "matchImages": ["*.example", "r.example:5000/team"],
    "defaultCacheDuration": "1m30s",
}
TOKENS: dict[str, Any] = {
    "serviceAccountTokenAudience": "registry",
    "cacheType": "ServiceAccount",
    "requireServiceAccount": True,
    "requiredServiceAccountAnnotationKeys": ["example.com/Role"],
    "optionalServiceAccountAnnotationKeys": ["zone"],
}


def document(*providers: dict[str, Any], **more: Any) -> str:
    whole = {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [*providers]}
    return yaml.safe_dump(whole | more)


def test_a_file(tmp_path: Path) -> None:
    """Every field of a provider arrives."""
    file = tmp_path / "config.yaml"
    file.write_text(document(GOOD | {"args": ["get"], "env": [{"name": "A", "value": "b"}], "tokenAttributes": TOKENS}))
    assert read_providers(file) == [
        ProviderSettings(
            name="p",
            match_images=("*.example", "r.example:5000/team"),
            default_cache_seconds=90.0,
            args=("get",),
            env=(("A", "b"),),
            token=TokenAttributes(
                audience="registry",
                require_service_account=True,
                cache_by_token=False,
                required_annotations=("example.com/Role",),
                optional_annotations=("zone",),
            ),
        )
    ]


def test_a_folder(tmp_path: Path) -> None:
    """The files of a folder count in the order of their names; other files do not."""
    (tmp_path / "20.json").write_text(document(GOOD | {"name": "second"}))
    (tmp_path / "10.yml").write_text(document(GOOD | {"name": "first"}))
    (tmp_path / "README").write_text("no configuration")
    assert [provider.name for provider in read_providers(tmp_path)] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not YAML"),
        ("[]", "Expected `object`"),
        (document(GOOD, kind="Other"), "is no kubelet.config.k8s.io/v1 CredentialProviderConfig"),
        (document(GOOD, apiVersion="v1"), "is no kubelet.config.k8s.io/v1 CredentialProviderConfig"),
        (document(GOOD, provider=[]), "unknown field `provider`"),
        (document(GOOD | {"image": "x"}), "unknown field `image`"),
        (document(), "at least 1 item in plugins is required"),
        (document(GOOD, GOOD), 'duplicate provider name "p" found in configuration file(s)'),
        (document(GOOD | {"name": ""}), "providers.name: Required value"),
        (document(GOOD | {"name": "../p"}), "provider name cannot contain '/'"),
        (document(GOOD | {"apiVersion": "v1"}), 'apiVersion: "v1" is none of credentialprovider.kubelet.k8s.io/v1,'),
        (document(GOOD | {"matchImages": []}), "at least 1 item in matchImages is required"),
        (document(GOOD | {"matchImages": ["%x"]}), 'match image is invalid: "%x"'),
        (document(GOOD | {"matchImages": ["a:b"]}), 'match image is invalid: "a:b"'),
        (document(GOOD | {"defaultCacheDuration": None}), "defaultCacheDuration: Required value"),
        (document(GOOD | {"defaultCacheDuration": "-1s"}), "must be greater than or equal to 0"),
        (document(GOOD | {"defaultCacheDuration": "soon"}), "'soon' is not a duration"),
        (document(GOOD | {"env": [{"name": "", "value": "x"}]}), "env[0]: not a variable's name"),
        (document(GOOD | {"tokenAttributes": {}}), "serviceAccountTokenAudience: Required value"),
        (document(GOOD | {"tokenAttributes": {}}), "requireServiceAccount: Required value"),
        (document(GOOD | {"tokenAttributes": {}}), "Supported values are: ServiceAccount, Token"),
        (document(GOOD | {"tokenAttributes": TOKENS | {"cacheType": "Pod"}}), 'cacheType: "Pod" is none of'),
        (
            document(GOOD | {"tokenAttributes": TOKENS | {"requireServiceAccount": False}}),
            "requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set",
        ),
        (
            document(
                GOOD | {"tokenAttributes": TOKENS | {"optionalServiceAccountAnnotationKeys": ["example.com/Role"]}}
            ),
            "annotation keys cannot be both required and optional",
        ),
        (
            document(GOOD | {"tokenAttributes": TOKENS | {"optionalServiceAccountAnnotationKeys": ["-", "b", "b"]}}),
            '"-" is not a qualified name',
        ),
        (
            document(
                GOOD | {"tokenAttributes": TOKENS, "apiVersion": "credentialprovider.kubelet.k8s.io/v1beta1"},
            ),
            "tokenAttributes is only supported for credentialprovider.kubelet.k8s.io/v1 API version",
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str) -> None:
    """A mistake is told with the file it is in."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ProviderProblem) as told:
        read_providers(file)
    assert problem in str(told.value)
    assert str(file) in str(told.value)


def test_nothing_there(tmp_path: Path) -> None:
    """A path without a configuration, and a program that is missing or none, stop the agent with the path."""
    settings = ProviderSettings(name="p", match_images=("*",), default_cache_seconds=0)
    with pytest.raises(ProviderProblem, match="no configuration files found in directory"):
        read_providers(tmp_path)
    with pytest.raises(ProviderProblem, match="No such file"):
        read_providers(tmp_path / "absent")
    with pytest.raises(ProviderProblem, match=r"plugin binary directory .*absent did not exist"):
        program_of(settings, tmp_path / "absent")
    with pytest.raises(ProviderProblem, match=r"plugin binary executable .*/p did not exist"):
        program_of(settings, tmp_path)
    (tmp_path / "p").write_text("")
    with pytest.raises(ProviderProblem, match="not an executable file"):
        program_of(settings, tmp_path)
