"""What a host knows of a call of its memory attention, and does not tell it: frame, object, memories, pointers."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..configs.schema import MemoryBankConfig
from ..recorder import Told
from ..rules.frame_choice import memory_frames, pointer_frames
from .evidence import confirmed, memory_token, pointer_token

GATHERS = "_prepare_memory_conditioned_features"
"""The method of SAM 2, its forks and `transformers` that gathers memories and calls the memory attention."""

RUNS = "_run_single_frame_inference"
"""The method of SAM 2's predictor that knows whose the memories are."""

SETTINGS = (
    *("num_maskmem", "max_cond_frames_in_attn", "memory_temporal_stride_for_eval"),
    *("use_obj_ptrs_in_encoder", "max_obj_ptrs_in_encoder", "only_obj_ptrs_in_the_past_for_eval"),
)
"""SAM 2's settings that say which frames a frame sees."""

PRIVATE = (AttributeError, KeyError, TypeError, ValueError, IndexError)
"""What a host raises, or its parts, where they are not what they were in the versions known here."""


class Listener:
    """Listens to one host while it works."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self._gathering: Mapping[str, Any] | None = None
        self._state: Mapping[str, Any] | None = None

    @contextmanager
    def listening(self) -> Iterator["Listener"]:
        """Wrap the host's methods, and give them back as they were."""
        with ExitStack() as stack:
            stack.enter_context(_before(self.host, RUNS, self._runs))
            stack.enter_context(_before(self.host, GATHERS, self._gathers))
            yield self

    def told(self, tokens: int, memory: Float[Tensor, "M B K"], pointers: int, pointer_tokens: int) -> Told | None:
        """What the host says of the call that it is making, with `tokens` a frame and `pointers` at the end.

        None where it makes none that it tells of. Whose memories and pointers they are is said only where they
        are what the host keeps of these frames.
        """
        if self._gathering is None:
            return None
        try:
            told, outputs = self._told(**self._gathering)
            spatial = len(memory) - pointers
            memories = confirmed(told.memory_frames, memory[0:spatial:tokens], outputs, memory_token)
            seen = confirmed(told.pointer_frames, memory[spatial::pointer_tokens], outputs, pointer_token)
        except PRIVATE:
            return None
        if memories is None or seen is None:
            return replace(told, memory_frames=None, pointer_frames=None)
        prompted = tuple(sorted({*memories, *seen} & set(told.prompted)))
        return replace(told, memory_frames=memories, pointer_frames=seen, prompted=prompted)

    def _told(self, **given: Any) -> tuple[Told, Mapping[int, Any]]:
        """What the host says, all of its prompted frames, and the outputs that it keeps."""
        if "inference_session" in given:
            return _of_session(self.host, **given)
        return _of_sam2(self.host, self._objects(given["output_dict"]), **given)

    def _runs(self, given: Mapping[str, Any] | None) -> None:
        self._state = None if given is None else given.get("inference_state")

    def _gathers(self, given: Mapping[str, Any] | None) -> None:
        self._gathering = given

    def _objects(self, output_dict: Any) -> list[str]:
        """The names of the objects whose outputs these are."""
        state = self._state
        if state is None:
            return []
        if output_dict is state.get("output_dict"):
            return [str(name) for name in state["obj_ids"]]
        for index, outputs in state["output_dict_per_obj"].items():
            if outputs is output_dict:
                return [str(state["obj_idx_to_id"][index])]
        return []


def _of_sam2(
    host: Any,
    objects: list[str],
    frame_idx: int,
    output_dict: Any,
    num_frames: int,
    track_in_reverse: bool = False,
    **_: Any,
) -> tuple[Told, Mapping[int, Any]]:
    """SAM 2's predictor and its forks: by our own rules and their settings."""
    prompted = list(output_dict["cond_frame_outputs"])
    outputs = {**output_dict["non_cond_frame_outputs"], **output_dict["cond_frame_outputs"]}
    own = {name: getattr(host, name) for name in SETTINGS if hasattr(host, name)}
    rules = {"settings": MemoryBankConfig(**own), "backwards": track_in_reverse, "training": host.training}
    memories = memory_frames(frame_idx, prompted, outputs, **rules)
    pointers = pointer_frames(frame_idx, num_frames, prompted, outputs, **rules)
    return _made(frame_idx, objects, memories, pointers, prompted, track_in_reverse, outputs), outputs


def _of_session(
    host: Any,
    inference_session: Any,
    frame_idx: int,
    obj_idx: int,
    num_total_frames: int,
    track_in_reverse_time: bool = False,
    streaming: bool = False,
    **_: Any,
) -> tuple[Told, Mapping[int, Any]]:
    """`transformers`: asked itself which outputs it takes, it gives them by their distances."""
    outputs = inference_session.output_dict_per_obj[obj_idx]
    prompted = outputs["cond_frame_outputs"]
    towards_past = -1 if track_in_reverse_time else 1
    number_of = {id(output): number for number, output in prompted.items()}
    gathered = host._gather_memory_frame_outputs(inference_session, obj_idx, frame_idx, track_in_reverse_time)
    memories = [
        (frame_idx - towards_past * distance, distance) if distance else (number_of[id(output)], 0)
        for distance, output in gathered
        if output is not None
    ]
    video = (num_total_frames, host.device, track_in_reverse_time, streaming)
    distances, *_ = host._get_object_pointers(inference_session, obj_idx, frame_idx, *video)
    pointers = [(frame_idx - towards_past * distance, distance) for distance in distances]
    objects = [str(inference_session.obj_idx_to_id(obj_idx))]
    both = {**outputs["non_cond_frame_outputs"], **prompted}
    return _made(frame_idx, objects, memories, pointers, list(prompted), track_in_reverse_time, both), both


def _made(
    frame: int,
    objects: list[str],
    memories: list[tuple[int, int]],
    pointers: list[tuple[int, int]],
    prompted: list[int],
    backwards: bool,
    outputs: Mapping[int, Any],
) -> Told:
    return Told(
        frame=int(frame),
        objects=objects,
        memory_frames=tuple(number for number, _ in memories),
        pointer_frames=tuple(number for number, _ in pointers),
        prompted=tuple(prompted),
        backwards=bool(backwards),
        found=lambda: last_found(outputs, frame, backwards),
    )


def last_found(outputs: Mapping[int, Any], frame: int, backwards: bool) -> np.ndarray | None:
    """The mask [h,w] of the nearest frame before this one, in the direction of tracking, that is not empty.

    Where there is none before it, its own of an earlier pass, or that of the nearest after it; none where all
    are empty. Of several objects in one output, the union.
    """
    towards_past = -1 if backwards else 1
    for number in sorted(outputs, key=lambda number: ((frame - number) * towards_past <= 0, abs(frame - number))):
        mask = (outputs[number]["pred_masks"].detach() > 0).flatten(0, -3).any(dim=0).cpu().numpy()
        if mask.any():
            return mask
    return None


@contextmanager
def _before(host: Any, name: str, listen: Callable[[Mapping[str, Any] | None], None]) -> Iterator[None]:
    """While a method of the host runs, what it was called with is known; afterwards the host is as it was."""
    method, own = getattr(host, name, None), vars(host).get(name)
    if method is None:
        yield
        return
    signature = inspect.signature(method)

    @functools.wraps(method)
    def listened(*args: Any, **kwargs: Any) -> Any:
        listen(signature.bind(*args, **kwargs).arguments)
        try:
            return method(*args, **kwargs)
        finally:
            listen(None)

    # Past `nn.Module.__setattr__`, which would look for parameters.
    vars(host)[name] = listened
    try:
        yield
    finally:
        if own is None:
            vars(host).pop(name, None)
        else:
            vars(host)[name] = own
