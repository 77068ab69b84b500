"""How a tracker is trained: the numbers from which every step follows."""

import math
from dataclasses import dataclass
from typing import Any, Self

from ...rules.numbers import whole_number

LEAST = {"seed": 0, "steps": 1, "frames": 2, "objects": 1, "span": 2, "warmup": 1, "average_over": 1}
PROBABILITIES = ("hard", "dropped_at_once", "dropped_singly")


@dataclass(frozen=True)
class Recipe:
    """How the tracker is trained.

    It begins with drawn weights, or with those of the file `start`. Each step has about so many `frames`, in
    fewer but longer clips from one equal part of the steps to the next (`lengths`), and follows so many
    `objects` of each clip. `hard`, `dropped_at_once` and `dropped_singly` are probabilities: of a hard clip, and
    of memories that a frame does not see. Textures are resized by up to `resize`; an object that is hidden
    counts `hidden_weight` times. Parameters with one of `frozen` in their names stay as they are. Raises
    `TypeError` or `ValueError` naming the number that does not fit.
    """

    config: str = "tracker"
    start: str = ""
    seed: int = 0
    steps: int = 2000
    frames: int = 24
    objects: int = 2
    lengths: tuple[int, ...] = (2, 2, 4, 4, 8)
    span: int = 16
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.03
    average_over: int = 500
    hard: float = 0.0
    resize: float = 1.0
    hidden_weight: float = 1.0
    dropped_at_once: float = 0.0
    dropped_singly: float = 0.0
    frozen: tuple[str, ...] = ()

    @classmethod
    def with_memories_missing(cls, start: str, **changes: Any) -> Self:
        """A second lesson: a tracker that has learned to track is to do so from object pointers too.

        The bundled weights are without it: after it pointers get about a twentieth of the attention in the first
        layer, but hardly anything is lost without them, and masks are worse.
        """
        lesson: dict[str, Any] = {
            "steps": 800,
            "lengths": (4, 8),
            "learning_rate": 1e-3,
            "warmup": 50,
            "average_over": 300,
            "hard": 0.4,
            "resize": 1.6,
            "hidden_weight": 2.0,
            "dropped_at_once": 0.25,
            "dropped_singly": 0.25,
            "frozen": ("cross_attn_image.q_proj", "cross_attn_image.k_proj", "obj_ptr", "memory_encoder"),
        }
        return cls(start=start, **lesson | changes)

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            whole_number(getattr(self, name), name, least)
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a probability, 0 to 1")
        if not self.resize >= 1:
            raise ValueError(f"resize is {self.resize}, expected a factor of 1 or more")
        if not self.hidden_weight > 0:
            raise ValueError(f"hidden_weight is {self.hidden_weight}, expected a number above 0")
        most = min(self.frames, self.span)
        if not self.lengths or not all(2 <= length <= most for length in self.lengths):
            raise ValueError(f"lengths is {self.lengths}, expected numbers from 2 to {most}, frames and span")

    def length(self, step: int) -> int:
        """Frames of the clips of a step."""
        return self.lengths[step * len(self.lengths) // self.steps]

    def rate(self, step: int) -> float:
        """The learning rate of a step: a linear warm-up, then half a cosine down to a fiftieth."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * min(1, (step + 1) / self.warmup) * (0.02 + 0.98 * cosine)
