"""A tracked video: what was found of each object, and what was looked at for the pictures."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Shaped

from .media.frames import Frames
from .media.masks import Objects
from .media.resizing import resize_logits
from .scores import iou

if TYPE_CHECKING:
    from .loop import Step
    from .tracker import Tracker

MARGIN = 1.0
"""The logit of a mask that was given: ± this."""


class TrackedVideo:
    """A video, its objects and the masks that are found of them.

    `frames` [T,S,S,3] and `masks` [K,S,S] are at the tracker's size; `given` are the first frame's objects at
    the user's, which is that of `source`; `truth` [T,K,S,S] where it is known.
    """

    def __init__(
        self,
        tracker: "Tracker",
        frames: Float[np.ndarray, "T S S 3"],
        masks: Bool[np.ndarray, "K S S"],
        given: Objects,
        source: Frames,
        truth: Bool[np.ndarray, "T K S S"] | None = None,
    ) -> None:
        self.tracker, self.frames, self.given, self.source, self.truth = tracker, frames, given, source, truth
        self.found = [masks.astype(bool)]
        self.logits: list[Float[np.ndarray, "K S S"]] = []
        self.ious = [np.ones(len(masks))]
        self.looks: dict[int, Step] = {}
        self.last_in_sight: Step | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """What each object is called."""
        return self.given.labels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the user's frames."""
        return self.given.size

    def names(self) -> list[str]:
        """How each object is named in pictures."""
        return [f"object {label}" for label in self.labels]

    def shown(self) -> list[int]:
        """Six frames to show, of all that were tracked."""
        return np.unique(np.linspace(1, len(self.frames) - 1, 6).round().astype(int)).tolist()

    def follow(self, kept: list[int], advance: Callable[[], None] = lambda: None) -> None:
        """Track; of what was looked at, keep that of the frames `kept`, and of the last with the first object."""
        for step in self.tracker.follow(self.frames, self.found[0]):
            if step.logits is not None:
                self.logits.append(step.logits)
                self.found.append(step.logits > 0)
                self.ious.append(self._ious(step.frame))
                if step.frame in kept:
                    self.looks[step.frame] = step
                if self.found[-1][0].any():
                    self.last_in_sight = step
            advance()

    def _ious(self, frame: int) -> Float[np.ndarray, " K"]:
        return (
            np.full(len(self.labels), np.nan) if self.truth is None else iou(self.found[frame], self.truth[frame])
        )

    def all_found(self) -> Bool[np.ndarray, "T K S S"]:
        """The masks at the tracker's size."""
        return np.stack(self.found)

    def in_full(self) -> Iterator[tuple[str, Shaped[np.ndarray, "H W 3"], Float[np.ndarray, "K H W"]]]:
        """Each frame's name, its image and its logits in the user's size, read and made one at a time.

        Masks are where the logits are positive; those of frame 0 are the masks that were given.
        """
        for number, (name, image) in enumerate(self.source):
            yield name, image, self.logits_in_full(number)

    def logits_in_full(self, number: int) -> Float[np.ndarray, "K H W"]:
        """The logits of a frame in the user's size."""
        if number == 0:
            return np.where(self.given.masks, np.float32(MARGIN), np.float32(-MARGIN))
        return resize_logits(self.logits[number - 1], self.size)
