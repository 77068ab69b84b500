"""A recorder: takes the rows of one call after another, and makes looks of them, as long as there is room."""

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .files import largest
from .looks import Look
from .queries import FOUND, check_queries, tokens_of
from .recording import Recording
from .rules.numbers import whole_number

MOST_QUERIES = 16
"""How many tokens of a mask or a box are recorded, where the user does not say otherwise."""


@dataclass(frozen=True)
class Told:
    """What a host says of a call: its frame, whose memories and pointers it looks at, and the mask last found."""

    frame: int | None = None
    objects: Sequence[str] = ()
    memory_frames: tuple[int, ...] | None = None
    pointer_frames: tuple[int, ...] | None = None
    prompted: tuple[int, ...] = ()
    backwards: bool = False
    found: Callable[[], Any] | None = None
    """Gives the mask [h,w] in which the object was last found, or none where it never was."""


class Wishes(NamedTuple):
    """What a user wants to be recorded: the arguments of `record`."""

    queries: Any
    layers: int | Collection[int] | None = None
    frames: Collection[int] | None = None
    most_queries: int = MOST_QUERIES
    memory_limit: int | None = None


class Recorder:
    """Makes a recording of the calls of a memory attention with `num_layers` layers.

    Raises `TypeError` or `ValueError` for wishes that cannot be. A pointer has `pointer_tokens` tokens.
    """

    def __init__(self, recording: Recording, wishes: Wishes, num_layers: int, pointer_tokens: int) -> None:
        self.recording, self.pointer_tokens = recording, pointer_tokens
        self._queries = check_queries(wishes.queries)
        self._layers = _layers(wishes.layers, num_layers)
        self._frames = None if wishes.frames is None else {whole_number(n, "frames") for n in _many(wishes.frames)}
        self._most = whole_number(wishes.most_queries, "most_queries", least=1)
        limit = largest() if wishes.memory_limit is None else wishes.memory_limit
        self._limit = whole_number(limit, "memory_limit", least=1)
        self._calls = self._bytes = 0
        self._open: Call | None = None

    def begin(self, told: Told) -> None:
        """A call begins: what the host says of it."""
        frame = self._calls if told.frame is None else told.frame
        self._calls += 1
        wanted = not self.recording.stopped and (self._frames is None or frame in self._frames)
        self._open = Call(frame, told) if wanted else None

    def tokens(self, layer: int, grid: tuple[int, int], row_bytes: int) -> Int[np.ndarray, " Q"] | None:
        """The queries whose rows of a layer are wanted now; none where there are none, or no room for them.

        A query's row takes `row_bytes`, for all objects and heads. Raises `ValueError` for queries outside the
        grid, and where the host does not say what was found.
        """
        call = self._open
        if call is None or layer not in self._layers:
            return None
        if call.tokens is None:
            call.grid, call.tokens = grid, self._tokens(call, grid)
            if call.tokens is None or not self._has_room(call, len(self._layers) * len(call.tokens) * row_bytes):
                self._open = None
                return None
        return call.tokens

    def keep(self, layer: int, rows: Float[np.ndarray, "B H Q M"], num_obj_ptr_tokens: int) -> None:
        """The rows of a layer in this call."""
        call = self._open
        if call is not None:
            call.rows[layer], call.num_obj_ptr_tokens = rows.astype(np.float32, copy=False), num_obj_ptr_tokens

    def end(self) -> None:
        """The call is over: its rows become looks, or where they would take too much memory, the last word."""
        call, self._open = self._open, None
        if call is None or not call.rows:
            return
        looks = call.looks(self.pointer_tokens)
        more = sum(look.nbytes for look in looks)
        if self._has_room(call, more):
            self._bytes += more
            self.recording.looks += looks

    def _has_room(self, call: "Call", more: int) -> bool:
        """Whether so many bytes fit; where they do not, the recording stops with a warning."""
        needed = self._bytes + more
        if needed <= self._limit:
            return True
        self.recording.stopped = (
            f"frame {call.frame} would make it {needed / 1e6:.3g} MB, more than memory_limit, "
            f"{self._limit / 1e6:.3g} MB"
        )
        warnings.warn(
            f"the recording stopped: {self.recording.stopped}; what it has stays: record fewer queries, "
            "layers or frames, or raise the limit",
            RuntimeWarning,
            stacklevel=3,
        )
        return False

    def _tokens(self, call: "Call", grid: tuple[int, int]) -> Int[np.ndarray, " Q"] | None:
        if not isinstance(self._queries, str):
            return tokens_of(self._queries, grid, self._most)
        if call.told.found is None:
            raise ValueError(
                f"queries is {FOUND!r}, but this model does not say what it found: expected token numbers, a mask "
                "or a Box"
            )
        mask = call.told.found()
        if mask is None:
            message = f"frame {call.frame} was not recorded: no mask of its object was found yet"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            return None
        return tokens_of(mask, grid, self._most)


def bytes_of_row(query: Sequence[int], key: Sequence[int]) -> int:
    """What one query's rows take in float32, for the shapes of queries [B,H,N,d] and keys [B,H,M,d]."""
    return 4 * key[0] * query[1] * key[2]


@dataclass
class Call:
    """One call of a memory attention, layer by layer."""

    frame: int
    told: Told
    grid: tuple[int, int] = (1, 1)
    tokens: Any = None
    rows: dict[int, np.ndarray] = field(default_factory=dict)
    num_obj_ptr_tokens: int = 0

    def looks(self, pointer_tokens: int) -> list[Look]:
        """One look for each object; frames and pointers that are not as many as the tokens say are unknown."""
        told, batch = self.told, next(iter(self.rows.values())).shape[0]
        names = told.objects if len(told.objects) == batch else [f"{index + 1}" for index in range(batch)]
        memory_frames, pointer_frames = self._frames(pointer_tokens)
        return [
            Look(
                frame=self.frame,
                object=str(name),
                grid=self.grid,
                queries=self.tokens,
                rows={("cross", layer): rows[index] for layer, rows in self.rows.items()},
                num_obj_ptr_tokens=self.num_obj_ptr_tokens,
                memory_frames=memory_frames,
                pointer_frames=pointer_frames,
                prompted=told.prompted if memory_frames is not None else (),
                frame_known=told.frame is not None,
                backwards=told.backwards,
            )
            for index, name in enumerate(names)
        ]

    def _frames(self, pointer_tokens: int) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
        memory_frames, pointer_frames = self.told.memory_frames, self.told.pointer_frames
        if memory_frames is None or pointer_frames is None:
            return None, None
        spatial = next(iter(self.rows.values())).shape[-1] - self.num_obj_ptr_tokens
        told = len(memory_frames) * self.grid[0] * self.grid[1], len(pointer_frames) * pointer_tokens
        return (memory_frames, pointer_frames) if told == (spatial, self.num_obj_ptr_tokens) else (None, None)


def _layers(layers: Any, num_layers: int) -> set[int]:
    """The layers to record, counted from the first; all of them where none are given."""
    if layers is None:
        return set(range(num_layers))
    chosen = set()
    for number in _many(layers):
        counted = whole_number(number, "layers", least=-num_layers)
        if counted >= num_layers:
            raise ValueError(f"layers has {counted}, expected {-num_layers} to {num_layers - 1}")
        chosen.add(counted % num_layers)
    if not chosen:
        raise ValueError("layers is empty, expected at least one")
    return chosen


def _many(numbers: Any) -> list[Any]:
    """Numbers, or the only one; a tensor or an array may hold them."""
    return list(numbers) if hasattr(numbers, "__iter__") and getattr(numbers, "ndim", None) != 0 else [numbers]
