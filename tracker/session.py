"""A video that comes frame by frame, with objects that are prompted, corrected and leave on any frame."""

import threading
from collections.abc import Callable, Hashable, Iterator
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Bool, Float

from ..rules.numbers import whole_number
from .loop import Array, Bank, Encoded, Loop, Step
from .media.video import check_image, check_prompt


class Tracked(NamedTuple):
    """What a frame gave for each object of a session, by the object's name; each step is of one object."""

    frame: int
    steps: dict[Hashable, Step]

    @property
    def masks(self) -> dict[Hashable, Bool[np.ndarray, "S S"]]:
        """The mask of each object."""
        return {name: step.masks[0] for name, step in self.steps.items()}


P = ParamSpec("P")
R = TypeVar("R")


def _in_turn(method: Callable[Concatenate["Session", P], R]) -> Callable[Concatenate["Session", P], R]:
    """The method of a session, waiting until no other thread is in one."""

    @wraps(method)
    def waiting(session: "Session", /, *words: P.args, **named: P.kwargs) -> R:
        with session._turns:
            return method(session, *words, **named)

    return waiting


class Session:
    """One video's frames and objects, each object with a memory bank of its own.

    Frames are numbered as they come, from 0; objects have any name. What an object sees depends on its own
    prompts alone. Where a method raises, the session is as it was before. Threads that share it take turns.
    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4; the per-object memories of its
    `SAM2VideoPredictor`.
    """

    def __init__(self, loop: Loop, past: int | None = None) -> None:
        self._loop = loop
        self._past = None if past is None else whole_number(past, "past")
        self._images: dict[int, np.ndarray] = {}
        self._next = 0
        self._turns = threading.RLock()
        self._banks: dict[Hashable, Bank] = {}
        self._prompts: dict[Hashable, dict[int, Float[np.ndarray, "1 S S"]]] = {}

    @property
    def objects(self) -> tuple[Hashable, ...]:
        """The names of the objects, in the order of their first prompts."""
        return tuple(self._banks)

    @property
    def frames(self) -> tuple[int, ...]:
        """The numbers of the frames that are kept: they can be prompted and tracked anew."""
        return tuple(self._images)

    @_in_turn
    def add_frame(self, image: Any) -> Tracked:
        """Take the video's next frame, [S,S,3], uint8 or 0…1, and find every object in it."""
        check_image(image, self._next, self._loop.config.image_size)
        # A camera may write its next image where this one lies.
        kept = np.array(np.asarray(image))
        tracked = self._track(self._next, kept, backwards=False)
        self._images[self._next] = kept
        self._next += 1
        self._forget()
        return tracked

    @_in_turn
    def prompt(self, name: Hashable, mask: Any, frame: int | None = None) -> None:
        """Say where an object is, `mask` [S,S], in a frame (none: the newest): a new object, or a correction.

        A correction changes the frames that are tracked afterwards; `track` tracks earlier ones anew. An
        empty mask says that the object, prompted elsewhere, is not in this frame.
        Raises `TypeError` or `ValueError` for a mask that does not fit, or a frame that the session has not.
        """
        _check_name(name)
        number = self._kept(self._next - 1 if frame is None else frame)
        bank = self._banks.get(name)
        elsewhere = bank is not None and bool({*bank.conditioning} - {number})
        given = check_prompt(mask, self._loop.config.image_size, may_be_empty=elsewhere)[None]
        bank = self._loop.new_bank() if bank is None else bank
        with self._loop.ops.inference():
            encoded = self._encode(number, self._images[number], prompted=True)
            _, memory = self._loop.look(bank, number, encoded, self._loop.array(given))
        bank.remove(number)
        bank.add(number, **memory)
        if given.any():
            self._loop.show(bank, self._loop.array(given))
        self._banks[name] = bank
        self._prompts.setdefault(name, {})[number] = given

    @_in_turn
    def remove(self, name: Hashable) -> None:
        """Let an object leave, with all its memories. Raises `ValueError` for one that is not there."""
        _check_name(name)
        if name not in self._banks:
            known = ", ".join(map(repr, self._banks)) or "none yet"
            raise ValueError(f"name is {name!r}, expected an object of the session: {known}")
        del self._banks[name], self._prompts[name]

    @_in_turn
    def track(self, start: int | None = None, backwards: bool = False) -> Iterator[Tracked]:
        """Track the frames that are kept anew, from `start` to the newest one, or backwards to the oldest.

        Without `start`, from the first prompted frame of those kept, or backwards from the last. Raises
        `ValueError` without an object, or for a frame that the session has not.
        """
        if not self._banks:
            raise ValueError("the session has no object yet, expected a prompt before tracking")
        if start is None:
            prompted = {number for prompts in self._prompts.values() for number in prompts} or self._images
            start = max(prompted) if backwards else min(prompted)
        start = self._kept(start)
        numbers = range(start, min(self._images) - 1, -1) if backwards else range(start, self._next)
        # Not a generator function: what is wrong is said at the call.
        return (self._track(number, self._images[self._kept(number)], backwards) for number in numbers)

    @_in_turn
    def _track(self, frame: int, image: np.ndarray, backwards: bool) -> Tracked:
        """The steps of all objects in a frame; they are remembered only when all went well."""
        found: dict[Hashable, tuple[Step, dict[str, Array]]] = {}
        to_find = [name for name, prompts in self._prompts.items() if frame not in prompts]
        if to_find:
            with self._loop.ops.inference():
                encoded = self._encode(frame, image)
                banks = [self._banks[name] for name in to_find]
                looks = self._loop.look_together(banks, frame, encoded, backwards)
            found = dict(zip(to_find, looks, strict=True))
        for name, (_, memory) in found.items():
            self._banks[name].remove(frame)
            self._banks[name].add(frame, **memory)
        steps = {
            name: found[name][0].to_numpy() if name in found else Step(frame, prompts=prompts[frame].copy())
            for name, prompts in self._prompts.items()
        }
        return Tracked(frame, steps)

    def _encode(self, frame: int, image: np.ndarray, prompted: bool = False) -> Encoded:
        checked = check_image(image, frame, self._loop.config.image_size, prompted)
        return self._loop.encode(self._loop.array(checked[None]))

    def _kept(self, frame: Any) -> int:
        if not self._images:
            raise ValueError("the session has no frame yet, expected add_frame first")
        number = whole_number(frame, "frame")
        if number not in self._images:
            oldest, newest = min(self._images), max(self._images)
            raise ValueError(f"frame is {number}, expected one that the session keeps, {oldest} to {newest}")
        return number

    def _forget(self) -> None:
        if self._past is None:
            return
        oldest = max(0, self._next - 1 - self._past)
        for number in [number for number in self._images if number < oldest]:
            del self._images[number]
        for name, bank in self._banks.items():
            bank.forget(oldest)
            self._prompts[name] = {n: mask for n, mask in self._prompts[name].items() if n >= oldest}


def _check_name(name: Any) -> None:
    try:
        hash(name)
    except TypeError:
        raise TypeError(f"name is {name!r}, expected text, a number, or another name that can be hashed") from None
