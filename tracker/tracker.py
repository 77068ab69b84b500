"""SAM 2's loop at toy size: given the mask of an object in the first frame, find the object in the others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..configs import Config
from ..inputs import Inputs
from ..model import Model, load
from ..reference.position import sine_encoding_2d
from .network import Networks
from .video import check_video
from .weights import check_tracker

Array = Any


class Step(NamedTuple):
    """What a frame gave for each of K objects.

    `logits` [K,S,S] of pixels (positive: the object), none for the prompted frame; `seen`: what its
    memory attention was called with, and the numbers of the frames whose memories and pointers those are.
    """

    frame: int
    logits: Array = None
    seen: Inputs | None = None
    memory_frames: tuple[int, ...] = ()
    pointer_frames: tuple[int, ...] = ()


class Tracker:
    """The memory attention of one backend, with the small networks and the memory bank around it.

    The accelerated backend tracks in PyTorch on `device` (none: the GPU if there is one), every other one in
    NumPy. `weights` are those of `read_tracker`. With `forgetful` the memory holds only zeros: what the network
    knows without it. Raises `ValueError` for a device that the backend has not.
    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4.
    """

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, Float[np.ndarray, "..."]],
        backend: str | None = None,
        forgetful: bool = False,
        device: str | None = None,
    ) -> None:
        check_tracker(weights, config)
        own = {name: array for name, array in weights.items() if name.startswith("memory_attention.")}
        self.config = config
        self.forgetful = forgetful
        self.attention = load(config, backend, own, device=device)
        self.ops, bank, self.device = _twins(self.attention)
        parameters = {name: self.array(array) for name, array in weights.items() if name not in own}
        self.bank = bank(config, parameters)
        self.networks = Networks(config, parameters, self.ops)
        height, width = config.grid
        position = sine_encoding_2d(height, width, config.memory_attention.d_model)
        self.position = self.array(position.reshape(height * width, 1, -1).astype(np.float32))

    def array(self, values: Any) -> Array:
        """The values as an array of the tracker's own kind, on its device."""
        return self.ops.array(values, self.device)

    def track(self, frames: Sequence[Any] | Array, masks: Array) -> Bool[np.ndarray, "T K S S"]:
        """The masks of K objects in all frames, the given ones first; inputs as in `follow`."""
        found = np.stack([step.logits > 0 for step in self.follow(frames, masks) if step.frame])
        given = np.asarray(masks, bool)
        return np.concatenate([given.reshape(1, *found.shape[1:]), found])

    def follow(self, frames: Sequence[Any] | Array, masks: Array) -> Iterator[Step]:
        """Track frame by frame, and give each step as NumPy arrays; one video at a time.

        `frames`: two or more images [S,S,3], uint8 or 0…1. `masks`: [S,S], or [K,S,S] for K objects, in the
        first frame. Raises `TypeError` or `ValueError` naming the argument that does not fit.
        """
        images, prompts = check_video(frames, masks, self.config.image_size)
        return self.follow_batch(images[:, None], prompts)

    def follow_batch(
        self, frames: Float[np.ndarray, "T V S S 3"], masks: Float[np.ndarray, "K S S"]
    ) -> Iterator[Step]:
        """The same without checks, for V videos with K / V objects each."""
        self.bank.clear()
        for frame, images in enumerate(frames):
            with self.ops.inference():
                fine, features = self.networks.encode_image(self.array(images))
                step = self.step(frame, fine, features, self.array(masks))
                self.bank.forget(frame + 1)
            yield step._replace(logits=_to_numpy(step.logits), seen=step.seen and _inputs_to_numpy(step.seen))

    def step(
        self,
        frame: int,
        fine: Float[Array, "V fh fw F"],
        features: Float[Array, "V h w C"],
        masks: Float[Array, "K S S"],
    ) -> Step:
        """One turn of the loop, from an encoded image: remember, find the mask, and remember that too.

        Frame 0 is prompted: it has nothing to remember, and its mask is the given one of `masks`.
        """
        ops, networks = self.ops, self.networks
        objects = len(masks) // len(features)
        fine, features = ops.repeat(fine, objects), ops.repeat(features, objects)

        prompted = frame == 0
        if prompted:
            step, tokens = Step(frame), self.bank.first_frame(_as_tokens(features))
            mask = masks
        else:
            step, tokens = self._remember(frame, _as_tokens(features))
            logits = networks.decode_mask(tokens.swapaxes(0, 1).reshape(features.shape), fine)
            step, mask = step._replace(logits=logits), ops.sigmoid(logits)
        self.bank.add(
            frame,
            networks.encode_memory(features, mask),
            networks.point(tokens.swapaxes(0, 1).reshape(features.shape), mask),
            conditioning=prompted,
            absent=~(mask > 0.5).any(-1).any(-1),
        )
        return step

    def _remember(self, frame: int, tokens: Float[Array, "N K C"]) -> tuple[Step, Float[Array, "N K C"]]:
        # A stream without an end: positions in time then mean the same in short clips and long ones.
        found = self.bank.tokens(frame, num_frames=None)
        memory = 0 * found.memory if self.forgetful else found.memory
        position = self.ops.expand(self.position, tokens.shape)
        seen = Inputs(tokens, memory, position, found.memory_pos, found.num_obj_ptr_tokens, self.config.grid)
        return Step(frame, None, seen, found.memory_frames, found.pointer_frames), self.attention(*seen)


def _as_tokens(features: Float[Array, "K h w C"]) -> Float[Array, "N K C"]:
    return features.reshape(len(features), -1, features.shape[-1]).swapaxes(0, 1)


def _to_numpy(array: Array) -> Any:
    return array.cpu().numpy() if hasattr(array, "cpu") else array


def _inputs_to_numpy(inputs: Inputs) -> Inputs:
    return Inputs(*(_to_numpy(value) for value in inputs))


def _twins(attention: Model) -> tuple[Any, Any, Any]:
    """The operations, the memory bank and the device that go with an attention's backend."""
    if attention.backend == "accelerated":
        from ..accelerated import MemoryBank as TorchBank
        from . import torch_ops

        network: Any = attention.network
        return torch_ops, TorchBank, network.device
    from ..reference import MemoryBank
    from . import numpy_ops

    return numpy_ops, MemoryBank, None
