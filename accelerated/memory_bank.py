"""Step 9: between the frames. A bank keeps what past frames gave, and makes of it the tokens a frame sees."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..configs.parameters import bank_parameters
from ..configs.schema import Config
from ..rules.bank_contract import (
    check_current_frame,
    check_features,
    check_frame_outputs,
    check_new_frame,
    check_score,
    grid_of_memories,
)
from ..rules.forgetting import lasting_frames
from ..rules.frame_choice import memory_frames, pointer_frames, pointer_reach
from ..rules.numbers import whole_number
from .calls import options
from .foreign import grid_for
from .position import float64_device, kept_sine_encoding_2d, sine_encoding_1d, sine_encoding_2d
from .tracing import is_traced


class MemoryTokens(NamedTuple):
    """What a frame's cross-attention looks at: h·w tokens of each memory, then C / C_m of each pointer.

    `memory_frames` and `pointer_frames` are the numbers of their frames, in the order of the tokens.
    """

    memory: Float[Tensor, "M B K"]
    memory_pos: Float[Tensor, "M B K"]
    num_obj_ptr_tokens: int
    memory_frames: tuple[int, ...]
    pointer_frames: tuple[int, ...]


class MemoryBank(nn.Module):
    """The memories and object pointers of one video's past frames, with the learned places in time.

    `parameters` are looked up by SAM 2's names, and may be those of a whole model; one that is missing or
    misshapen raises `ValueError`. Which frames a frame sees is `rules/frame_choice.py`.
    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4 and appendix C.1.
    """

    no_obj_embed_spatial: nn.Parameter | None
    obj_ptr_tpos_proj: nn.Linear | None

    def __init__(self, config: Config, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        own = {
            name: nn.Parameter(torch.as_tensor(array).detach().clone())
            for name, array in bank_parameters(parameters, config).items()
        }
        self.settings = config.memory_bank
        self.d_model = config.memory_attention.d_model
        self.memory_dim = config.memory_attention.memory_dim
        self.maskmem_tpos_enc = own["maskmem_tpos_enc"]
        self.no_mem_embed = own["no_mem_embed"]
        self.no_mem_pos_enc = own["no_mem_pos_enc"]
        self.no_obj_embed_spatial = own.get("no_obj_embed_spatial")
        self.obj_ptr_tpos_proj = None
        if self.settings.proj_tpos_enc_in_obj_ptrs:
            self.obj_ptr_tpos_proj = nn.Linear(self.d_model, self.memory_dim)
            self.obj_ptr_tpos_proj.weight = own["obj_ptr_tpos_proj.weight"]
            self.obj_ptr_tpos_proj.bias = own["obj_ptr_tpos_proj.bias"]
        self.clear()

    def clear(self) -> None:
        """Forget every frame, before another video."""
        self.memories: dict[int, Float[Tensor, "B K h w"]] = {}
        self.pointers: dict[int, Float[Tensor, "B C"]] = {}
        self.scores: dict[int, float] = {}
        self.conditioning: tuple[int, ...] = ()

    def add(
        self,
        frame: int,
        memory: Float[Tensor, "B K h w"],
        pointer: Float[Tensor, "B C"] | None = None,
        conditioning: bool = False,
        absent: Bool[Tensor, " B"] | None = None,
        score: Any = None,
    ) -> None:
        """Store what a frame gave: its memory, and its object pointer if it has one.

        They are kept on the bank's device, the memory channels last, as `tokens` needs it; what lies so
        already is not copied, and must not be changed afterwards. `conditioning` frames are those that were
        prompted. `absent` says which objects were judged absent: to their memories `no_obj_embed_spatial` is
        added, where it is set. `score` is a tracked frame's effective IoU score (`reliable_frames` says
        what that is), for `use_memory_selection`.
        Raises `TypeError` or `ValueError` naming the argument that does not fit.
        """
        frame = check_new_frame(frame, self.memories.keys() | self.pointers.keys())
        earlier = next(iter(self.memories.values()), None)
        check_frame_outputs(memory, pointer, absent, self.d_model, self.memory_dim, Tensor, earlier)
        score = check_score(score, needed=self.settings.use_memory_selection and not conditioning)
        if self.no_obj_embed_spatial is not None and absent is not None:
            embedding = absent[:, None, None, None] * self.no_obj_embed_spatial[:, :, None, None]
            memory = (memory + embedding).to(memory.dtype)
        device = self.maskmem_tpos_enc.device
        memory = memory.to(device, memory_format=torch.channels_last)
        if pointer is not None:
            self.pointers[frame] = pointer.to(device)
        self.memories[frame] = memory
        if conditioning:
            self.conditioning += (frame,)
        elif score is not None:
            self.scores[frame] = score

    def remove(self, frame: int) -> None:
        """Take a frame out, as before it is prompted anew; one that is not there is passed over."""
        frame = whole_number(frame, "frame")
        self.memories.pop(frame, None)
        self.pointers.pop(frame, None)
        self.scores.pop(frame, None)
        self.conditioning = tuple(number for number in self.conditioning if number != frame)

    def forget(self, frame: int, training: bool = False, backwards: bool = False) -> None:
        """Drop what neither `frame` nor any frame after it (before it, tracking `backwards`) can see.

        With `max_cond_frames_in_attn` this bounds the bank however long the video is; without a limit
        every conditioning frame stays.
        """
        frame = whole_number(frame, "frame")
        kept = (self.conditioning, self.memories, self.pointers)
        lasting = lasting_frames(frame, *kept, self.settings, training, backwards, self.scores)
        self.conditioning = tuple(lasting.conditioning)
        self.memories = {number: self.memories[number] for number in lasting.memories}
        self.pointers = {number: self.pointers[number] for number in lasting.pointers}
        self.scores = {number: self.scores[number] for number in lasting.scores}

    def tokens(
        self,
        frame: int,
        num_frames: int | None,
        backwards: bool = False,
        training: bool = False,
        dtype: torch.dtype | None = None,
    ) -> MemoryTokens:
        """The memory tokens that `frame` sees, in a video of `num_frames` (none: a stream without an end).

        `training` takes every frame (stride 1) and pointers of later frames too. Tokens are in `dtype`, else in
        the widest one of all memories and pointers in the bank, whichever of them are seen; places in image
        and time are added in float64, and rounded once. Raises `ValueError` without a conditioning frame, or
        where `num_maskmem` is 0.
        """
        frame = check_current_frame(frame, num_frames)
        if self.settings.num_maskmem == 0:
            raise ValueError("num_maskmem is 0, so no frame has memory tokens: its features pass unchanged")
        if not self.conditioning:
            raise ValueError(f"the bank has no conditioning frame, expected at least one to track frame {frame}")
        memories = memory_frames(
            frame, self.conditioning, self.memories, self.settings, backwards, training, num_frames, self.scores
        )
        pointers = pointer_frames(
            frame, num_frames, self.conditioning, self.pointers, self.settings, backwards, training, self.scores
        )
        stored = {array.dtype for array in (*self.memories.values(), *self.pointers.values())}
        dtype = dtype or functools.reduce(torch.promote_types, stored)
        tokens = [self._spatial_tokens(number).to(dtype) for number, _ in memories]
        height, width = self.memories[memories[0][0]].shape[-2:]
        place = self._place(height, width, tokens[0])
        positions = [self._spatial_position(place, slot) for _, slot in memories]
        num_obj_ptr_tokens = 0
        if pointers:
            pointer, position = self._pointer_tokens(pointers, pointer_reach(num_frames, self.settings))
            num_obj_ptr_tokens = pointer.shape[1]
            tokens, positions = [*tokens, pointer.to(dtype)], [*positions, position]
        # Joined batch-first, which is how the attention takes them, and only seen sequence-first.
        memory = torch.cat(tokens, dim=1).transpose(0, 1)
        # Rounded before they are moved: the device may lack float64.
        memory_pos = torch.cat([position.to(dtype).to(memory.device) for position in positions])
        return MemoryTokens(
            memory,
            memory_pos[:, None].expand(-1, memory.shape[1], -1),
            num_obj_ptr_tokens,
            tuple(number for number, _ in memories),
            tuple(number for number, _ in pointers),
        )

    def _spatial_tokens(self, number: int) -> Float[Tensor, "B hw K"]:
        """A frame's memory row by row, batch-first: a view, as memories are kept channels last."""
        return self.memories[number].to(self.maskmem_tpos_enc.device).permute(0, 2, 3, 1).flatten(1, 2)

    def _place(self, height: int, width: int, memory: Tensor) -> Float[Tensor, "hw K"]:
        """Place in the image (float64), kept from frame to frame, but not where `memory` is traced."""
        encode = sine_encoding_2d if is_traced(memory) else kept_sine_encoding_2d
        return encode(height, width, self.memory_dim, self.maskmem_tpos_enc.device).flatten(0, 1)

    def _spatial_position(self, place: Float[Tensor, "hw K"], slot: int) -> Float[Tensor, "hw K"]:
        """Place in the image + place in time, added in float64.

        Slot t has `maskmem_tpos_enc[num_maskmem − t − 1]`: slot 0 the last entry, the frame before the first.
        """
        return place + self.maskmem_tpos_enc[self.settings.num_maskmem - slot - 1, 0].to(place.device)

    def _pointer_tokens(
        self, chosen: list[tuple[int, int]], reach: int
    ) -> tuple[Float[Tensor, "B P K"], Float[Tensor, "P K"]]:
        """Split (frame, distance) after (frame, distance) into C / C_m tokens, in channel order.

        All of a pointer's tokens are at the same place in time: distance / max(1, P − 1), encoded.
        """
        device = self.maskmem_tpos_enc.device
        pointer = torch.stack([self.pointers[number].to(device) for number, _ in chosen], dim=1)
        batch, count, channels = pointer.shape
        parts = channels // self.memory_dim
        numbers = [distance for _, distance in chosen]
        distances = torch.tensor(numbers, dtype=torch.float64, device=float64_device(device))
        time = distances / max(1, reach - 1)
        if not self.settings.add_tpos_enc_to_obj_ptrs:
            position = torch.zeros(count, self.memory_dim, device=device)
        elif self.obj_ptr_tpos_proj is not None:
            encoded = sine_encoding_1d(time, channels)
            position = self.obj_ptr_tpos_proj(encoded.to(self.obj_ptr_tpos_proj.weight.dtype).to(device))
        else:
            position = sine_encoding_1d(time, self.memory_dim)
        tokens = pointer.reshape(batch, count * parts, self.memory_dim)
        return tokens, position.repeat_interleave(parts, dim=0)

    def first_frame(self, features: Float[Tensor, "N B C"]) -> Float[Tensor, "N B C"]:
        """features + `no_mem_embed`, which skip the attention: the first prompted frame remembers nothing.

        Unchanged where `num_maskmem` is 0. Raises `ValueError` without `directly_add_no_mem_embed`, where
        `first_frame_tokens` are what the frame looks at.
        """
        check_features(features, self.d_model, Tensor)
        if self.settings.num_maskmem == 0:
            return features
        if not self.settings.directly_add_no_mem_embed:
            raise ValueError("directly_add_no_mem_embed is off: attend to first_frame_tokens instead")
        return (features + self.no_mem_embed).to(features.dtype)

    def first_frame_tokens(self, features: Float[Tensor, "N B C"]) -> MemoryTokens:
        """The one token that a first prompted frame looks at without `directly_add_no_mem_embed`.

        It is `no_mem_embed` at position `no_mem_pos_enc`, for every object, in the dtype of `features`; as it
        has no place in the image, it counts among the pointer tokens. Raises `ValueError` unless C_m = C.
        """
        check_features(features, self.d_model, Tensor)
        if self.memory_dim != self.d_model:
            raise ValueError(
                f"kv_in_dim is {self.memory_dim}, expected d_model, {self.d_model}, "
                "without directly_add_no_mem_embed"
            )
        memory, memory_pos = (
            token.to(features.dtype).expand(-1, features.shape[1], -1)
            for token in (self.no_mem_embed, self.no_mem_pos_enc)
        )
        return MemoryTokens(memory, memory_pos, 1, (), ())

    def attend(
        self,
        attention: Callable[..., Float[Tensor, "N B C"]],
        features: Float[Tensor, "N B C"],
        features_pos: Float[Tensor, "N B C"] | None,
        frame: int,
        num_frames: int | None,
        first_prompted: bool = False,
        backwards: bool = False,
        training: bool = False,
        grid: tuple[int, int] | None = None,
    ) -> Float[Tensor, "N B C"]:
        """Turn a frame's features into features that remember: what a tracking loop calls for every frame.

        `attention` is a `MemoryAttention`, or is called like one; `first_prompted` says that nothing is to be
        remembered yet, as on the first frame with a prompt; the rest is as in `tokens`, but that these are
        brought to the dtype of `features`: SAM 2 keeps memories in bfloat16. The grid is that of the
        memories; a `grid` is needed only where there are none yet, and raises `ValueError` if it is another.
        """
        check_features(features, self.d_model, Tensor)
        if self.settings.num_maskmem == 0:
            return features
        if first_prompted and self.settings.directly_add_no_mem_embed:
            return self.first_frame(features)
        if first_prompted:
            seen = self.first_frame_tokens(features)
        else:
            seen = self.tokens(frame, num_frames, backwards, training, features.dtype)
            grid = grid_of_memories(grid, self.memories[seen.memory_frames[0]], features)
            grid = grid_for(attention, grid)
        return attention(
            curr=features,
            memory=seen.memory,
            curr_pos=features_pos,
            memory_pos=seen.memory_pos,
            num_obj_ptr_tokens=seen.num_obj_ptr_tokens,
            **options(grid=grid),
        )
