"""Runs a model in onnxruntime, on the CPU."""

import os
from collections.abc import Mapping

import numpy as np
import onnxruntime

ERRORS_ONLY = 3
"""Its own warnings speak of what it optimises."""


class Session:
    """A model, or the file of one, ready to run."""

    def __init__(self, model: bytes | str | os.PathLike[str]) -> None:
        """Raises `ValueError` where this onnxruntime cannot run it; the version and its own words are in it."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        source = model if isinstance(model, bytes) else os.fspath(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        # Its exceptions have no base of their own.
        except Exception as error:
            raise ValueError(
                f"onnxruntime {onnxruntime.__version__} cannot run this graph ({str(error)[:200]}): "
                "expected a newer onnxruntime, or an older opset"
            ) from None

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the model says of itself."""
        return self._session.get_modelmeta().custom_metadata_map

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by its name; of `feed` what the model takes."""
        outputs = [value.name for value in self._session.get_outputs()]
        taken = [value.name for value in self._session.get_inputs()]
        arrays = {name: np.ascontiguousarray(feed[name]) for name in taken}
        return dict(zip(outputs, self._session.run(outputs, arrays), strict=True))
