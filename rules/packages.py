"""Packages that only some parts need: where one is missing, the error says how to get it."""

import importlib

EXTRAS = {
    "torch": "accelerated",
    "transformers": "test",
    "av": "video",
    "PIL": "video",
    "onnx": "onnx",
    "onnxruntime": "onnx",
}
"""The extra of `pyproject.toml` that brings a package; for all others it is `notebooks`."""


def require(package: str, what: str) -> None:
    """Raise `ModuleNotFoundError`, saying what to type in a clone of the project, if a package is missing."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError:
        extra = EXTRAS.get(package, "notebooks")
        raise ModuleNotFoundError(
            f"{what} needs {package}; in a clone of this project type: pip install '.[{extra}]'"
        ) from None
