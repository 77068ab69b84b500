"""SAM 2's loop at toy size, one turn of it: what a frame of a video gives for each of its objects."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..configs import Config
from ..inputs import Inputs
from ..model import Model, load
from ..reference.position import sine_encoding_2d
from .network import Networks
from .weights import check_tracker

Array = Any
Bank = Any
MemoryTokens = Any


class Step(NamedTuple):
    """What a frame gave for each of K objects.

    `logits` [K,S,S] of pixels (positive: the object), none for a prompted frame; `seen`: what its
    memory attention was called with, and the numbers of the frames whose memories and pointers those are;
    `prompts` [K,S,S]: the masks that a prompted frame was given, none for the others.
    """

    frame: int
    logits: Array = None
    seen: Inputs | None = None
    memory_frames: tuple[int, ...] = ()
    pointer_frames: tuple[int, ...] = ()
    prompts: Array = None

    @property
    def masks(self) -> Bool[Array, "K S S"]:
        """The masks of the objects: those that were given, or those that were found."""
        return self.logits > 0 if self.prompts is None else self.prompts > 0.5

    def to_numpy(self) -> "Step":
        """The same step with NumPy arrays, on the CPU."""
        seen = self.seen and Inputs(*map(_to_numpy, self.seen))
        return self._replace(logits=_to_numpy(self.logits), seen=seen, prompts=_to_numpy(self.prompts))


class Encoded(NamedTuple):
    """What K objects' frame looks like: sharp features for the outline, and the frame's tokens."""

    fine: Float[Array, "K fh fw F"]
    features: Float[Array, "K h w C"]


class Loop:
    """The memory attention of one backend with the small networks around it: weights that no video changes.

    What changes is in a bank, `new_bank()`, one for the objects of each video that are prompted together.
    The accelerated backend tracks in PyTorch on `device` (none: the GPU if there is one), every other one in
    NumPy. `weights` are those of `read_tracker`. With `forgetful` the memory holds only zeros: what the network
    knows without it. Raises `TypeError` or `ValueError` for weights that do not fit, or a device that the
    backend has not.
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
        if not isinstance(config, Config):
            raise TypeError(f"config is {type(config).__name__}, expected a Config, as of read_tracker")
        check_tracker(weights, config)
        own = {name: array for name, array in weights.items() if name.startswith("memory_attention.")}
        self.config = config
        self.forgetful = forgetful
        # Half a token's cell: less is an error at an outline more often than an object.
        self.least_pixels = config.backbone_stride**2 // 2
        self.attention = load(config, backend, own, device=device)
        self.ops, bank, self.attend_to_each, self.device = _twins(self.attention)
        parameters = {name: self.array(array) for name, array in weights.items() if name not in own}
        self.bank = bank(config, parameters)
        self.networks = Networks(config, parameters, self.ops)
        height, width = config.grid
        position = sine_encoding_2d(height, width, config.memory_attention.d_model)
        self.position = self.array(position.reshape(height * width, 1, -1).astype(np.float32))

    def array(self, values: Any) -> Array:
        """The values as an array of the tracker's own kind, on its device."""
        return self.ops.array(values, self.device)

    def new_bank(self) -> Bank:
        """An empty memory bank; its learned places in time are the tracker's own."""
        bank = copy.copy(self.bank)
        bank.clear()
        return bank

    def encode(self, images: Float[Array, "V S S 3"], objects: int = 1) -> Encoded:
        """What the images of V videos look like, once for each of their objects."""
        return self.for_objects(*self.networks.encode_image(images), objects)

    def for_objects(
        self, fine: Float[Array, "V fh fw F"], features: Float[Array, "V h w C"], objects: int
    ) -> Encoded:
        """An encoded image of V videos, once for each of their objects."""
        return Encoded(self.ops.repeat(fine, objects), self.ops.repeat(features, objects))

    def step(self, bank: Bank, frame: int, encoded: Encoded, prompts: Float[Array, "K S S"] | None) -> Step:
        """One turn of the loop: find the masks, or take those given, and remember them in the bank."""
        step, memory = self.look(bank, frame, encoded, prompts)
        bank.add(frame, **memory)
        return step

    def look(
        self,
        bank: Bank,
        frame: int,
        encoded: Encoded,
        prompts: Float[Array, "K S S"] | None = None,
        backwards: bool = False,
    ) -> tuple[Step, dict[str, Array]]:
        """The step that a frame makes, and what the bank is to remember of it; the bank stays as it is.

        A prompted frame looks at no memory: its masks are those given.
        """
        tokens = _as_tokens(encoded.features)
        if prompts is not None:
            return self._remembered(Step(frame, prompts=prompts), encoded, bank.first_frame(tokens))
        seen, found = self._seen(bank, frame, tokens, backwards)
        return self._remembered(_tracked(frame, seen, found), encoded, self.attention(*seen))

    def look_together(
        self, banks: Sequence[Bank], frame: int, encoded: Encoded, backwards: bool = False
    ) -> list[tuple[Step, dict[str, Array]]]:
        """`look` for the object of each bank; those that see equally long memories are one batch."""
        tokens = _as_tokens(encoded.features)
        looks = [self._seen(bank, frame, tokens, backwards) for bank in banks]
        steps = [_tracked(frame, seen, found) for seen, found in looks]
        every = [found for _, found in looks]
        attended = self.attend_to_each(self.attention, tokens, self.position, every, self.config.grid)
        return [self._remembered(step, encoded, each) for step, each in zip(steps, attended, strict=True)]

    def _seen(
        self, bank: Bank, frame: int, tokens: Float[Array, "N K C"], backwards: bool
    ) -> tuple[Inputs, MemoryTokens]:
        # A stream without an end: positions in time then mean the same in short clips and long ones.
        found = bank.tokens(frame, num_frames=None, backwards=backwards)
        if self.forgetful:
            found = found._replace(memory=0 * found.memory)
        position = self.ops.expand(self.position, tokens.shape)
        seen = Inputs(tokens, found.memory, position, found.memory_pos, found.num_obj_ptr_tokens, self.config.grid)
        return seen, found

    def _remembered(
        self, step: Step, encoded: Encoded, attended: Float[Array, "N K C"]
    ) -> tuple[Step, dict[str, Array]]:
        """The step with its masks, and what the bank is to remember of it."""
        networks = self.networks
        features = attended.swapaxes(0, 1).reshape(encoded.features.shape)
        if step.prompts is None:
            step = step._replace(logits=self._in_sight(networks.decode_mask(features, encoded.fine)))
        mask = self.ops.sigmoid(step.logits) if step.prompts is None else step.prompts
        return step, {
            "memory": networks.encode_memory(encoded.features, mask),
            "pointer": networks.point(features, mask),
            "conditioning": step.prompts is not None,
            "absent": ~(mask > 0.5).any(-1).any(-1),
        }

    def _in_sight(self, logits: Float[Array, "K S S"]) -> Float[Array, "K S S"]:
        """The logits, all turned negative where an object has fewer pixels than `least_pixels`: it is hidden."""
        hidden = (logits > 0).sum((1, 2)) < self.least_pixels
        return logits - hidden[:, None, None] * (logits + abs(logits))


def _tracked(frame: int, seen: Inputs, found: MemoryTokens) -> Step:
    return Step(frame, None, seen, found.memory_frames, found.pointer_frames)


def _as_tokens(features: Float[Array, "K h w C"]) -> Float[Array, "N K C"]:
    return features.reshape(len(features), -1, features.shape[-1]).swapaxes(0, 1)


def _to_numpy(array: Array) -> Any:
    return array.cpu().numpy() if hasattr(array, "cpu") else array


def _twins(attention: Model) -> tuple[Any, Any, Any, Any]:
    """The operations, the memory bank, the objects' call and the device that go with an attention's backend."""
    if attention.backend == "accelerated":
        from ..accelerated import MemoryBank as TorchBank
        from ..accelerated.many_objects import attend_to_each as torch_attend_to_each
        from . import torch_ops

        network: Any = attention.network
        return torch_ops, TorchBank, torch_attend_to_each, network.device
    from ..reference import MemoryBank
    from ..reference.many_objects import attend_to_each
    from . import numpy_ops

    return numpy_ops, MemoryBank, attend_to_each, None
