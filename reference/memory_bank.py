"""Step 9: between the frames. A bank keeps what past frames gave, and makes of it the tokens a frame sees."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

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
from .module import Linear, Module
from .position import sine_encoding_1d, sine_encoding_2d


class MemoryTokens(NamedTuple):
    """What a frame's cross-attention looks at: h·w tokens of each memory, then C / C_m of each pointer.

    `memory_frames` and `pointer_frames` are the numbers of their frames, in the order of the tokens.
    """

    memory: Float[np.ndarray, "M B K"]
    memory_pos: Float[np.ndarray, "M B K"]
    num_obj_ptr_tokens: int
    memory_frames: tuple[int, ...]
    pointer_frames: tuple[int, ...]


class MemoryBank(Module):
    """The memories and object pointers of one video's past frames, with the learned places in time.

    `parameters` are looked up by SAM 2's names, and may be those of a whole model; one that is missing or
    misshapen raises `ValueError`. Which frames a frame sees is `rules/frame_choice.py`.
    Source: SAM 2, Ravi et al., 2024, arXiv:2408.00714, section 4 and appendix C.1.
    """

    def __init__(self, config: Config, parameters: Mapping[str, Float[np.ndarray, "..."]]) -> None:
        own = {name: np.asarray(array) for name, array in bank_parameters(parameters, config).items()}
        self.settings = config.memory_bank
        self.d_model = config.memory_attention.d_model
        self.memory_dim = config.memory_attention.memory_dim
        self.maskmem_tpos_enc = own["maskmem_tpos_enc"]
        self.no_mem_embed = own["no_mem_embed"]
        self.no_mem_pos_enc = own["no_mem_pos_enc"]
        self.no_obj_embed_spatial = own.get("no_obj_embed_spatial")
        self.obj_ptr_tpos_proj = None
        if self.settings.proj_tpos_enc_in_obj_ptrs:
            self.obj_ptr_tpos_proj = Linear(self.d_model, self.memory_dim)
            self.obj_ptr_tpos_proj.weight = own["obj_ptr_tpos_proj.weight"]
            self.obj_ptr_tpos_proj.bias = own["obj_ptr_tpos_proj.bias"]
        self.clear()

    def clear(self) -> None:
        """Forget every frame, before another video."""
        self.memories: dict[int, Float[np.ndarray, "B K h w"]] = {}
        self.pointers: dict[int, Float[np.ndarray, "B C"]] = {}
        self.scores: dict[int, float] = {}
        self.conditioning: tuple[int, ...] = ()

    def add(
        self,
        frame: int,
        memory: Float[np.ndarray, "B K h w"],
        pointer: Float[np.ndarray, "B C"] | None = None,
        conditioning: bool = False,
        absent: Bool[np.ndarray, " B"] | None = None,
        score: Any = None,
    ) -> None:
        """Store what a frame gave: its memory, and its object pointer if it has one; no copies are made.

        `conditioning` frames are those that were prompted. `absent` says which objects were judged absent:
        to their memories `no_obj_embed_spatial` is added, where it is set. `score` is a tracked frame's
        effective IoU score (`reliable_frames` says what that is), for `use_memory_selection`.
        Raises `TypeError` or `ValueError` naming the argument that does not fit.
        """
        frame = check_new_frame(frame, self.memories.keys() | self.pointers.keys())
        earlier = next(iter(self.memories.values()), None)
        check_frame_outputs(memory, pointer, absent, self.d_model, self.memory_dim, np.ndarray, earlier)
        score = check_score(score, needed=self.settings.use_memory_selection and not conditioning)
        if self.no_obj_embed_spatial is not None and absent is not None:
            embedding = absent[:, None, None, None] * self.no_obj_embed_spatial[:, :, None, None]
            memory = (memory + embedding).astype(memory.dtype)
        self.memories[frame] = memory
        if pointer is not None:
            self.pointers[frame] = pointer
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
        dtype: np.dtype | None = None,
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
        memory, memory_pos = self._spatial_tokens(memories)
        num_obj_ptr_tokens = 0
        if pointers:
            pointer, pointer_pos = self._pointer_tokens(pointers, pointer_reach(num_frames, self.settings))
            memory = np.concatenate([memory, pointer])
            memory_pos = np.concatenate([memory_pos, pointer_pos])
            num_obj_ptr_tokens = len(pointer)
        dtype = dtype or np.result_type(*self.memories.values(), *self.pointers.values())
        return MemoryTokens(
            memory.astype(dtype),
            np.repeat(memory_pos.astype(dtype), memory.shape[1], axis=1),
            num_obj_ptr_tokens,
            tuple(number for number, _ in memories),
            tuple(number for number, _ in pointers),
        )

    def _spatial_tokens(
        self, chosen: list[tuple[int, int]]
    ) -> tuple[Float[np.ndarray, "M B K"], Float[np.ndarray, "M 1 K"]]:
        """Flatten (frame, slot) after (frame, slot) row by row: place in the image + place in time (float64).

        Slot t has `maskmem_tpos_enc[num_maskmem − t − 1]`: slot 0 the last entry, the frame before the first.
        """
        memory = np.stack([self.memories[number] for number, _ in chosen])
        count, batch, channels, height, width = memory.shape
        tokens = memory.transpose(0, 3, 4, 1, 2).reshape(count * height * width, batch, channels)
        place = sine_encoding_2d(height, width, channels).reshape(1, height * width, 1, channels)
        time = self.maskmem_tpos_enc[[self.settings.num_maskmem - slot - 1 for _, slot in chosen]]
        return tokens, (place + time).reshape(count * height * width, 1, channels)

    def _pointer_tokens(
        self, chosen: list[tuple[int, int]], reach: int
    ) -> tuple[Float[np.ndarray, "M B K"], Float[np.ndarray, "M 1 K"]]:
        """Split (frame, distance) after (frame, distance) into C / C_m tokens, in channel order (float64).

        All of a pointer's tokens are at the same place in time: distance / max(1, P − 1), encoded.
        """
        pointer = np.stack([self.pointers[number] for number, _ in chosen])
        count, batch, channels = pointer.shape
        parts = channels // self.memory_dim
        tokens = pointer.reshape(count, batch, parts, self.memory_dim).swapaxes(1, 2)
        time = np.array([distance for _, distance in chosen]) / max(1, reach - 1)
        if not self.settings.add_tpos_enc_to_obj_ptrs:
            position = np.zeros((count, self.memory_dim))
        elif self.obj_ptr_tpos_proj is not None:
            position = self.obj_ptr_tpos_proj(sine_encoding_1d(time, channels))
        else:
            position = sine_encoding_1d(time, self.memory_dim)
        position = position.repeat(parts, axis=0)[:, None]
        return tokens.reshape(count * parts, batch, self.memory_dim), position

    def first_frame(self, features: Float[np.ndarray, "N B C"]) -> Float[np.ndarray, "N B C"]:
        """features + `no_mem_embed`, past the attention: a frame prompted before it was tracked remembers nothing.

        Unchanged where `num_maskmem` is 0. Raises `ValueError` without `directly_add_no_mem_embed`, where
        `first_frame_tokens` are what the frame looks at.
        """
        check_features(features, self.d_model, np.ndarray)
        if self.settings.num_maskmem == 0:
            return features
        if not self.settings.directly_add_no_mem_embed:
            raise ValueError("directly_add_no_mem_embed is off: attend to first_frame_tokens instead")
        return (features + self.no_mem_embed).astype(features.dtype)

    def first_frame_tokens(self, features: Float[np.ndarray, "N B C"]) -> MemoryTokens:
        """The one token that a frame prompted before it was tracked looks at, without `directly_add_no_mem_embed`.

        It is `no_mem_embed` at position `no_mem_pos_enc`, for every object, in the dtype of `features`; as it
        has no place in the image, it counts among the pointer tokens. Raises `ValueError` unless C_m = C.
        """
        check_features(features, self.d_model, np.ndarray)
        if self.memory_dim != self.d_model:
            raise ValueError(
                f"kv_in_dim is {self.memory_dim}, expected d_model, {self.d_model}, "
                "without directly_add_no_mem_embed"
            )
        memory, memory_pos = (
            np.repeat(token.astype(features.dtype), features.shape[1], axis=1)
            for token in (self.no_mem_embed, self.no_mem_pos_enc)
        )
        return MemoryTokens(memory, memory_pos, 1, (), ())

    def attend(
        self,
        attention: Callable[..., Float[np.ndarray, "N B C"]],
        features: Float[np.ndarray, "N B C"],
        features_pos: Float[np.ndarray, "N B C"] | None,
        frame: int,
        num_frames: int | None,
        first_prompted: bool = False,
        backwards: bool = False,
        training: bool = False,
        grid: tuple[int, int] | None = None,
    ) -> Float[np.ndarray, "N B C"]:
        """Turn a frame's features into features that remember: what a tracking loop calls for every frame.

        `attention` is a `MemoryAttention`, or is called like one; `first_prompted` says that the frame is
        prompted before it was tracked, and remembers nothing, whatever the bank has; the rest is as in `tokens`,
        but that these are brought to the dtype of `features`: SAM 2 keeps memories in bfloat16. The grid is that
        of the memories; a `grid` is needed only where there are none, and raises `ValueError` if it is another.
        """
        check_features(features, self.d_model, np.ndarray)
        if self.settings.num_maskmem == 0:
            return features
        if first_prompted and self.settings.directly_add_no_mem_embed:
            return self.first_frame(features)
        if first_prompted:
            seen = self.first_frame_tokens(features)
        else:
            seen = self.tokens(frame, num_frames, backwards, training, features.dtype)
            grid = grid_of_memories(grid, self.memories[seen.memory_frames[0]], features)
        return attention(
            curr=features,
            memory=seen.memory,
            curr_pos=features_pos,
            memory_pos=seen.memory_pos,
            num_obj_ptr_tokens=seen.num_obj_ptr_tokens,
            grid=grid,
        )
