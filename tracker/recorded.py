"""A recording of the tracker's own steps: where every query of some frames looked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..attention_map import PARTS, attention_rows, compared_steps
from ..looks import Look
from ..model import Model
from ..recording import Recording, fingerprint_of, listed
from .loop import Step


def record_steps(
    model: Model,
    steps: Mapping[int, Step] | Sequence[Step],
    frames: Sequence[int],
    names: Sequence[str] = (),
    prompted: Sequence[int] = (0,),
) -> Recording:
    """The recording of these `frames` of a tracked video, by its `steps`; `names` are the first objects'.

    Raises `ValueError` for a frame that is not there, or was prompted and looked at nothing.
    """
    recording = Recording({"model": repr(model), "fingerprint": fingerprint_of(model)})
    known = dict(steps) if isinstance(steps, Mapping) else dict(enumerate(steps))
    tracked = {number: step for number, step in known.items() if step.seen is not None}
    for number in frames:
        if number not in tracked:
            raise ValueError(f"show has frame {number}, expected one that was tracked: {listed(tracked)}")
        recording.looks += _looks(model, tracked[number].to_numpy(), names, prompted)
    return recording


def _looks(model: Model, step: Step, names: Sequence[str], prompted: Sequence[int]) -> list[Look]:
    network, seen = model.config.memory_attention, step.seen
    assert seen is not None
    places = [(kind, layer) for kind in PARTS for layer in range(network.num_layers)]
    compared = {(kind, layer): compared_steps(network, layer, kind) for kind, layer in places}
    traced = model.trace(*seen, names=[name for pair in compared.values() for name in pair])
    rows: dict[Any, np.ndarray] = {
        place: attention_rows(traced[query], traced[key], "all") for place, (query, key) in compared.items()
    }
    objects = next(iter(rows.values())).shape[0]
    called = list(names) or [str(index + 1) for index in range(objects)]
    return [
        Look(
            frame=step.frame,
            object=called[index],
            grid=model.config.grid,
            queries=np.arange(model.config.grid[0] * model.config.grid[1], dtype=np.int32),
            rows={place: array[index] for place, array in rows.items()},
            num_obj_ptr_tokens=seen.num_obj_ptr_tokens,
            memory_frames=step.memory_frames,
            pointer_frames=step.pointer_frames,
            prompted=tuple(number for number in step.memory_frames if number in prompted),
        )
        for index in range(min(objects, len(called)))
    ]
