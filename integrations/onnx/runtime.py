"""Runs a model in onnxruntime, on the CPU."""

import os
from collections.abc import Mapping

import numpy as np
import onnxruntime

from ...configs.schema import MemoryAttentionConfig
from ...inputs import Inputs
from ...rules.contract import require_position
from .file import NAMES

ERRORS_ONLY = 3
"""Its own warnings speak of what it optimises."""


class Session:
    """A model, or the file of one, ready to run."""

    def __init__(self, model: bytes | str | os.PathLike[str]) -> None:
        """Raises `ValueError` where this onnxruntime cannot run it: the version and its own words are in it."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        source = model if isinstance(model, bytes) else os.fspath(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        # Its exceptions have no base of their own.
        except Exception as error:
            raise ValueError(
                f"onnxruntime {onnxruntime.__version__} cannot run this graph: expected a newer onnxruntime, "
                f"or an older opset ({str(error)[:200]})"
            ) from None

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the model says of itself."""
        return self._session.get_modelmeta().custom_metadata_map

    @property
    def inputs(self) -> list[str]:
        """The names of what it takes."""
        return [value.name for value in self._session.get_inputs()]

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by its name; of `feed` what the model takes."""
        outputs = [value.name for value in self._session.get_outputs()]
        taken = {name: np.ascontiguousarray(feed[name]) for name in self.inputs}
        return dict(zip(outputs, self._session.run(outputs, taken), strict=True))


def split_inputs(inputs: Inputs, config: MemoryAttentionConfig) -> dict[str, np.ndarray]:
    """The inputs of an exported graph by name, from those of a model's call: pointers apart from memories.

    A position that is none is zero, which says the same. Raises `ValueError` where a flag asks for it.
    """
    layer = config.layer
    curr_pos, memory_pos = inputs.curr_pos, inputs.memory_pos
    if layer.pos_enc_at_attn:
        require_position(curr_pos, "curr_pos", "pos_enc_at_attn")
    if layer.pos_enc_at_cross_attn_keys:
        require_position(memory_pos, "memory_pos", "pos_enc_at_cross_attn_keys")
    if layer.pos_enc_at_cross_attn_queries:
        require_position(curr_pos, "curr_pos", "pos_enc_at_cross_attn_queries")
    axis = 0 if config.batch_first else 1
    cut = [inputs.memory.shape[axis] - inputs.num_obj_ptr_tokens]
    memory, pointers = np.split(inputs.memory, cut, axis)
    pos = np.zeros_like(inputs.memory) if memory_pos is None else memory_pos
    of_memory, of_pointers = np.split(pos, cut, axis)
    own = np.zeros_like(inputs.curr) if curr_pos is None else curr_pos
    return dict(zip(NAMES, (inputs.curr, own, memory, of_memory, pointers, of_pointers), strict=True))
