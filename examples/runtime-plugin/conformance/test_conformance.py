"""Every test of the suite, under its own name, and the fixtures that stand beside them."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

SUITE = Path(__file__).parents[3] / "tests" / "conformance" / "runtimes"

for path in sorted(SUITE.glob("test_*.py")):
    spec = spec_from_file_location(f"conformance_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    globals().update({name: value for name, value in vars(module).items() if not name.startswith("_")})
