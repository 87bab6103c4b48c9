"""Runtime types of other packages, installed as pip does it: a module and a .dist-info on the path."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.plugins import PluginError, factories
from runtimes.registry import Runtime

Install = Callable[..., None]

GOOD = """
from types import SimpleNamespace
from runtimes.registry import Runtime

def factory(handler, settings, context):
    return Runtime(handler=handler, service=settings["service"], images=context.images, lifecycle=None, streaming=None,
                   cri_handler=handler, display_name="good")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package with one module, which registers one type."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def put(package: str, code: str, *, type_name: str = "own", value: str = "") -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        points = f"[nodeagent.runtimes]\n{type_name} = {value or f'{module}:factory'}\n"
        (info / "entry_points.txt").write_text(points)
        importlib.invalidate_caches()

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("natest_"):
            del sys.modules[name]


VERSION, IMAGES = cri.VersionResponse(runtime_name="good"), cri.ListImagesResponse(images=[cri.Image(id="i")])


class Service:
    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:
        return VERSION

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        return IMAGES


def make(built_in: Any = None, type_name: str = "own") -> Runtime:
    context = SimpleNamespace(images=Service())
    return factories(built_in or {})[type_name]("h", {"service": Service()}, context)


async def test_a_type_of_another_package(install: Install) -> None:
    """It is called with the handler, its settings and the context, beside the built-in types."""
    install("natest-good", GOOD)
    found = make()
    assert (found.handler, found.display_name) == ("h", "good")
    assert await found.service.version(cri.VersionRequest()) is VERSION
    assert await found.images.list_images(cri.ListImagesRequest()) is IMAGES
    built_in: Any = {"oci": lambda *_: None}
    assert sorted(name for name in factories(built_in) if name in ("oci", "own")) == ["oci", "own"]


def test_what_is_not_used_is_not_imported(install: Install) -> None:
    """A broken package whose type nobody configures stops nothing."""
    install("natest-broken", "raise RuntimeError('imported')")
    assert "own" in factories({})
    assert "natest_broken" not in sys.modules


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        pytest.param(
            "import nothing_like_this",
            "",
            "type 'own' of package natest-bad cannot be loaded: ModuleNotFoundError: No module named 'nothing_like_this'",
            id="an import that fails",
        ),
        pytest.param(
            "def broken(:",
            "",
            "type 'own' of package natest-bad cannot be loaded: SyntaxError: invalid",
            id="no Python",
        ),
        pytest.param(
            "", "", "cannot be loaded: AttributeError: module 'natest_bad' has no attribute 'factory'", id="no factory"
        ),
        pytest.param(
            "factory = 3", "", "natest_bad:factory is a int, and cannot be called", id="a factory that is none"
        ),
        pytest.param(
            "def factory(handler): ...",
            "",
            "natest_bad:factory does not take (handler, settings, context): too many positional arguments",
            id="another signature",
        ),
        pytest.param(
            "def factory(handler, settings, context): ...",
            "",
            "natest_bad:factory returned NoneType, not runtimes.registry.Runtime",
            id="returns something else",
        ),
        pytest.param(
            "def factory(handler, settings, context): return settings['nothing']",
            "",
            "natest_bad:factory failed: KeyError: 'nothing'",
            id="fails",
        ),
        pytest.param(
            GOOD.replace("handler=handler", "handler='other'", 1),
            "",
            "natest_bad:factory made a runtime for handler 'other', not 'h'",
            id="another handler",
        ),
    ],
)
def test_a_bad_plugin_is_one_clear_error(install: Install, code: str, value: str, expected: str) -> None:
    """The type, the package, and what is wrong with it."""
    install("natest-bad", code, value=value)
    with pytest.raises(PluginError) as caught:
        make()
    assert "type 'own' of package natest-bad" in str(caught.value)
    assert expected in str(caught.value)


def test_settings_that_the_factory_refuses(install: Install) -> None:
    """Its own words, which name the field."""
    install("natest-strict", "def factory(handler, settings, context): raise ValueError('options.x: unknown field')")
    with pytest.raises(ValueError, match=r"^options\.x: unknown field$") as caught:
        make()
    assert not isinstance(caught.value, PluginError)


def test_two_packages_with_one_type(install: Install) -> None:
    """Neither is chosen: both are named."""
    install("natest-one", GOOD)
    install("natest-two", GOOD)
    with pytest.raises(PluginError, match="provided by packages natest-one and natest-two: uninstall all but one"):
        make()


def test_a_built_in_type_cannot_be_replaced(install: Install) -> None:
    """Nor is the other package ignored in silence."""
    install("natest-rude", GOOD, type_name="oci")
    built_in: Any = {"oci": lambda *_: None}
    with pytest.raises(PluginError, match="type 'oci' is built in, but package natest-rude provides it, too"):
        make(built_in, "oci")


async def test_what_a_plugin_raises_names_its_package(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """A foreign exception is Internal, with the handler, the type and the package; an unknown verb is NotSupported."""
    install(
        "natest-buggy",
        GOOD.replace('settings["service"]', "Service()")
        + """
class Service:
    async def version(self, request):
        return request.nothing_like_this
""",
    )
    found = make()
    whose = "runtime h (type 'own' of package natest-buggy)"
    with pytest.raises(errors.Internal) as caught:
        await found.service.version(cri.VersionRequest())
    assert str(caught.value) == f"{whose}: version: AttributeError: nothing_like_this"
    with pytest.raises(errors.NotSupported, match="has no status"):
        await found.service.status(cri.StatusRequest())


def test_runtimes_that_share_a_store_go_on_sharing_it(install: Install) -> None:
    """Behind boundaries of their own, with images that are one object: garbage is collected once for both."""
    install("natest-good", GOOD)

    def built_in(handler: str, settings: Any, context: Any) -> Runtime:
        lifecycle: Any = None
        return Runtime(
            handler=handler,
            service=settings["service"],
            images=context.images,
            lifecycle=lifecycle,
            streaming=None,
            cri_handler=handler,
            display_name=handler,
        )

    known = factories({"oci": built_in})
    context, other = SimpleNamespace(images=Service()), SimpleNamespace(images=Service())
    settings = {"service": Service()}
    engine, own = (known[name](name, settings, context) for name in ("oci", "own"))
    assert engine.images is own.images
    assert known["own"]("third", settings, other).images is not own.images


def test_a_package_that_ends_the_process(install: Install) -> None:
    """sys.exit, at import or in the factory, is one more way of being wrong."""
    install("natest-leaves", "import sys; sys.exit(3)")
    with pytest.raises(PluginError, match="cannot be loaded: SystemExit: 3"):
        make()
