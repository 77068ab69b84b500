"""The suite's flags, here at the top so that pytest knows them before it knows where the tests are."""

import os

import pytest

DTYPES = ("float64", "float32", "float16", "bfloat16")


def pytest_sessionstart(session: pytest.Session) -> None:
    # Not imported before jaxtyping's own plugin checks what is imported.
    from memory_attention.backends import available_backends

    name, known = session.config.getoption("--backend"), available_backends()
    if name not in known:
        raise pytest.UsageError(f"--backend is {name!r}, expected one of {', '.join(known)}")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("memory attention")
    group.addoption("--backend", default=os.environ.get("MEMORY_ATTENTION_BACKEND") or "accelerated")
    group.addoption("--device", default=None, help="cpu, cuda, …")
    group.addoption("--kernel", default=None, help="the accelerated backend's kernel; else chosen by size")
    group.addoption("--compiled", action="store_true", help="the accelerated backend through torch.compile")
    group.addoption("--dtype", default=None, choices=DTYPES, help="one dtype instead of all")
