"""`record`: listen to a model while it works, and keep where chosen queries look."""

import importlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .attention_map import attention_rows, compared_steps
from .inputs import Inputs
from .model import Model
from .recorder import MOST_QUERIES, Recorder, Told, Wishes, bytes_of_row
from .recording import Recording, fingerprint_of
from .rules.grids import grid_of
from .rules.record import Record


@contextmanager
def record(
    model: Any,
    queries: Any,
    layers: int | Collection[int] | None = None,
    frames: Collection[int] | None = None,
    *,
    most_queries: int = MOST_QUERIES,
    memory_limit: int | None = None,
) -> Iterator[Recording]:
    """Record where chosen queries of every frame look, while the model runs in the `with` block.

    `model`: one of `load`, or a module of PyTorch that holds a memory attention: `Sam2VideoModel` or
    `Sam3TrackerVideoModel` of `transformers`, SAM 2's predictor or one of its forks', accelerated or not.
    `queries`: token numbers of the frame's grid, a mask [h,w] of any size, a `Box`, or `"found"`, the tokens
    under the mask in which the object was last found before the frame, in the direction of tracking. Of a mask
    or a box at most `most_queries` tokens, spread over it. `layers` and `frames` (numbers): which to record, none
    is all. Frames are those of the host; where it says none, the calls count as frames 0, 1, ….

    Only softmax rows of chosen queries are computed, [B,H,Q,M], never N × M. After the block the model is as it
    was. Past `memory_limit` bytes (none: that of files) the recording stops with a warning, and keeps what it
    has. Raises `TypeError` or `ValueError` for queries that are none or outside the grid, for a model without a
    memory attention or that is compiled.
    """
    wishes = Wishes(queries, layers, frames, most_queries, memory_limit)
    if not isinstance(model, Model):
        with _integrations().record_module(model, wishes) as recording:
            yield recording
        return
    network = model.config.memory_attention
    recording = Recording({"model": repr(model), "fingerprint": fingerprint_of(model)})
    recorder = Recorder(recording, wishes, network.num_layers, model.config.num_pointer_tokens)
    module = getattr(model.network, "module", None)
    # What is compiled does not call the module, and a backend without one has no hooks.
    hooked = module is not None and getattr(model.network, "call", None) is module
    with _integrations().recorded_by(module, recorder) if hooked else _listening(model, recorder):
        yield recording


def _integrations() -> Any:
    """The room above this one, found by name, and only when it is asked for: it needs PyTorch."""
    return importlib.import_module(f"{__package__}.integrations")


@contextmanager
def _listening(model: Model, recorder: Recorder) -> Iterator[None]:
    """While the model runs, listen to the queries and keys of its steps."""
    network, run = model.config.memory_attention, model.run
    # Another recording may be listening already.
    outer = vars(model).get("run")
    compared = [compared_steps(network, layer, "cross") for layer in range(network.num_layers)]
    layer_of = {key: layer for layer, (_, key) in enumerate(compared)}

    def listening_run(inputs: Inputs, record: Record | None) -> Any:
        recorder.begin(Told())
        result = run(
            inputs, _listener(compared, layer_of, inputs, network.layer.cross_attention, recorder, record)
        )
        recorder.end()
        return result

    model.run = listening_run  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.run
        if outer is not None:
            model.run = outer  # type: ignore[method-assign]


def _listener(
    compared: list[tuple[str, str]],
    layer_of: dict[str, int],
    inputs: Inputs,
    attention: Any,
    recorder: Recorder,
    record: Record | None,
) -> Record:
    """Hands every step to `record`, and the rows of chosen queries to the recorder."""
    queries: dict[str, np.ndarray] = {}

    def listen(name: str, value: Any) -> Any:
        if record is not None:
            value = record(name, value)
        if name in layer_of:
            layer = layer_of[name]
            query = queries.pop(compared[layer][0])
            grid = grid_of(query.shape[2], inputs.grid, attention.feat_sizes)
            tokens = recorder.tokens(layer, grid, bytes_of_row(query.shape, value.shape))
            if tokens is not None:
                recorder.keep(layer, attention_rows(query, value, tokens.tolist()), int(inputs.num_obj_ptr_tokens))
        elif any(name == query for query, _ in compared):
            queries[name] = value
        return value

    return listen
