"""The suite's profiles and fixtures. Shapes in the reference's signatures are checked while the tests run."""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

CHECKER = "beartype.beartype" if find_spec("beartype") else None

with install_import_hook("memory_attention.reference", CHECKER):
    import memory_attention as ma
    import memory_attention.reference
    from memory_attention.tolerances import BOUNDS

slow_machine = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.differing_executors]}
settings.register_profile("ci", derandomize=True, database=None, print_blob=True, max_examples=40, **slow_machine)
settings.register_profile("gpu", derandomize=True, database=None, print_blob=True, max_examples=10, **slow_machine)
settings.register_profile("thorough", max_examples=400, print_blob=True, **slow_machine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dtype" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--dtype")
        metafunc.parametrize("dtype", [chosen] if chosen else list(BOUNDS))


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--backend")


@pytest.fixture(scope="session")
def choices(request: pytest.FixtureRequest) -> dict[str, object]:
    """What the flags force in the accelerated backend."""
    return {name: request.config.getoption(f"--{name}") for name in ("kernel", "compiled")}


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--device") or "cpu"


@pytest.fixture
def unchecked_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users have it: without the suite's checking of annotated shapes, which would complain first."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of PyTorch's threads; afterwards it is what it was."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["reference", "accelerated"])
def tiny_model(request: pytest.FixtureRequest) -> ma.Model:
    """The smallest config, in either backend."""
    return ma.load("tiny", request.param, device="cpu")


@pytest.fixture(params=["reference", "accelerated"])
def make_bank(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes either backend's memory bank, of a config and maybe parameters."""
    from banks import Bank

    return lambda *args: Bank(request.param, *args)
