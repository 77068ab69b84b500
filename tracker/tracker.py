"""SAM 2's loop at toy size: given the mask of an object in one frame of a video, find it in the others."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from .loop import Array, Loop, Step
from .media.video import check_image, check_masks, check_video
from .session import Session

Frames = Sequence[Any] | Iterator[Any] | Array


class Tracker(Loop):
    """A tracker of video objects on one backend; nothing that it tracks changes it.

    So any number of videos can be followed in turns: each has a memory of its own.
    """

    def start(self, past: int | None = None) -> Session:
        """A session with a memory of its own, fed frame by frame, its objects prompted on any of them.

        `past`: how many frames before the newest are kept, to be prompted and tracked anew; what no such
        frame and none after it can see is forgotten. None keeps all.
        """
        return Session(self, past)

    def track(self, frames: Frames, masks: Array) -> Bool[np.ndarray, "T K S S"]:
        """The masks of K objects in all frames, the given ones first; inputs as in `follow`."""
        frames = list(frames) if isinstance(frames, Iterator) else frames
        return np.stack([step.masks for step in self.follow(frames, masks)])

    def follow(self, frames: Frames, masks: Array) -> Iterator[Step]:
        """Track frame by frame, and give each step as NumPy arrays.

        `frames`: two or more images [S,S,3], uint8 or 0…1, in a sequence, or one at a time from an iterator.
        `masks`: [S,S], or [K,S,S] for K objects, in the first frame. Raises `TypeError` or `ValueError`
        naming the argument that does not fit.
        """
        size = self.config.image_size
        if isinstance(frames, Iterator):
            prompts = check_masks(masks, size)
            images = (check_image(image, number, size, number == 0) for number, image in enumerate(frames))
            return self.follow_batch((image[None] for image in images), prompts)
        whole, prompts = check_video(frames, masks, size)
        return self.follow_batch(whole[:, None], prompts)

    def follow_batch(
        self, frames: Iterable[Float[np.ndarray, "V S S 3"]], masks: Float[np.ndarray, "K S S"]
    ) -> Iterator[Step]:
        """The same without checks, for V videos with K / V objects each."""
        bank = self.new_bank()
        for frame, images in enumerate(frames):
            with self.ops.inference():
                encoded = self.encode(self.array(images), len(masks) // len(images))
                prompts = None if frame else self.array(masks)
                step = self.step(bank, frame, encoded, prompts)
                bank.forget(frame + 1)
            yield step.to_numpy()
