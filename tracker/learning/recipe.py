"""How a tracker is trained: the numbers from which every step follows."""

import math
from dataclasses import dataclass

from ...rules.numbers import whole_number

LEAST = {"seed": 0, "steps": 1, "frames": 2, "objects": 1, "span": 2, "warmup": 1, "average_over": 1}
PARTS = 2
PROBABILITIES = ("hard", "dropped_at_once", "dropped_singly")


@dataclass(frozen=True)
class Recipe:
    """How the tracker is trained.

    Each step has about so many `frames`, in fewer but longer clips from one equal part of the steps to the next
    (`lengths`), and follows so many `objects` of each clip. `hard` is the probability of a hard clip;
    `dropped_at_once` and `dropped_singly` are those of memories that a frame does not see, halfway through.
    Textures are resized by up to `resize`; an object that is hidden counts `hidden_weight` times. Raises
    `TypeError` or `ValueError` naming the number that does not fit.
    """

    config: str = "tracker"
    seed: int = 0
    steps: int = 4800
    frames: int = 32
    objects: int = 2
    lengths: tuple[int, ...] = (2, 2, 4, 8, 8)
    span: int = 16
    learning_rate: float = 2e-3
    warmup: int = 40
    weight_decay: float = 0.03
    average_over: int = 500
    hard: float = 0.2
    resize: float = 1.0
    hidden_weight: float = 4.0
    dropped_at_once: float = 0.25
    dropped_singly: float = 0.1

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

    def clips(self, step: int) -> int:
        """How many clips a step has."""
        return self.frames // self.length(step)

    def parts(self, step: int) -> int:
        """How many parts a step has, which do not need each other: no more than clips."""
        return min(PARTS, self.clips(step))

    def rate(self, step: int) -> float:
        """The learning rate of a step: a linear warm-up, then half a cosine down to a fiftieth."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * min(1, (step + 1) / self.warmup) * (0.02 + 0.98 * cosine)

    def dropped(self, step: int) -> tuple[float, float]:
        """The probabilities, at a step, that a frame sees no memory at all, and that it does not see one of them.

        They rise from none and fall to none: first it has to learn what a memory is for, and at last to use all.
        """
        share = math.sin(math.pi * step / self.steps) ** 2
        return share * self.dropped_at_once, share * self.dropped_singly
