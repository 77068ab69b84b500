"""What a recording is: where chosen query tokens of a video's frames looked, and in whose memories."""

import hashlib
import html
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from .cells import small_image, small_masks
from .looks import Look
from .recording_file import read_parts, write_parts
from .shares import Shares, shares_of

UNNAMED = "a model"


@dataclass
class Recording:
    """What was looked at in a video: one `Look` after another, as it went.

    `made_by` says by what: the `model`'s class, and a `fingerprint` of the weights that the looks depend on.
    `images` (uint8 [h,w,3]) and `masks` (bool [K,h,w], an object each) are small pictures of frames, where the
    user gave some. `stopped` says why there are no more looks, where there is a reason.
    """

    made_by: dict[str, str] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    images: dict[int, UInt8[np.ndarray, "h w 3"]] = field(default_factory=dict)
    masks: dict[int, Bool[np.ndarray, "K h w"]] = field(default_factory=dict)
    stopped: str = ""

    @property
    def frames(self) -> tuple[int, ...]:
        """The numbers of the frames that were recorded, in order."""
        return tuple(sorted({look.frame for look in self.looks}))

    @property
    def pictured(self) -> set[int]:
        """The numbers of the frames that looked or were looked at: those of which pictures are kept."""
        return {number for look in self.looks for number in (look.frame, *(look.memory_frames or ()))}

    @property
    def objects(self) -> tuple[str, ...]:
        """The objects' names, in the order in which they came."""
        return tuple(dict.fromkeys(look.object for look in self.looks))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that were recorded."""
        return tuple(sorted({layer for look in self.looks for layer in look.layers}))

    @property
    def nbytes(self) -> int:
        """What the recording takes in memory."""
        pictures = [*self.images.values(), *self.masks.values()]
        return sum(look.nbytes for look in self.looks) + sum(picture.nbytes for picture in pictures)

    @property
    def pattern(self) -> "Patterns":
        """`pattern[layer, frame]` are the softmax rows [B,H,Q,M] of a frame, as it was tracked last."""
        return Patterns(self)

    def looks_at(self, frame: int) -> dict[str, Look]:
        """How each object looked in a frame, as it was tracked last. Raises `ValueError` if it is not there."""
        found = {look.object: look for look in self.looks if look.frame == frame}
        if not found:
            raise ValueError(f"frame {frame} was not recorded, expected one of {listed(self.frames)}")
        return found

    def look(self, frame: int, object: Any = None) -> Look:
        """How one object looked in a frame, as it was tracked last; without a name, the only one.

        Raises `ValueError` for a frame or an object that is not there, and where a name is needed.
        """
        found = self.looks_at(frame)
        return found[_one_of(found, object)]

    def by_memory(self, object: Any = None, layer: int | None = None) -> Shares:
        """The share of an object's attention on every memory frame and pointer over time: see `Shares`.

        The mean over queries, heads and layers, or of one `layer`; each frame as it was tracked last. Without a
        name, of the only object. Raises `ValueError` for an object or a layer that is not there, and where a name
        is needed.
        """
        name = _one_of(self.objects, object)
        last = {look.frame: look for look in self.looks if look.object == name}
        return shares_of([last[frame] for frame in sorted(last)], layer)

    def add_images(self, images: Mapping[int, Any] | Sequence[Any], masks: Any = None) -> "Recording":
        """Keep small pictures of the user's frames, for the page; returns the recording.

        `images`: [H,W,3], uint8 or 0…1, by the frame's number or in a sequence from frame 0. Those of frames
        that looked or were looked at are kept, at most 256 pixels long. `masks`: [H,W], or [K,H,W] for the
        objects in their order, likewise. Raises `TypeError` or `ValueError` for others, and keeps none.
        """
        wanted = self.pictured
        kept = {n: small_image(image, f"images[{n}]") for n, image in _items(images) if n in wanted}
        outlined = {
            n: small_masks(mask, f"masks[{n}]")
            for n, mask in _items(() if masks is None else masks)
            if n in wanted
        }
        self.images |= kept
        self.masks |= outlined
        return self

    def check_made_by(self, model: Any) -> None:
        """Raise `ValueError` unless the recording is of this model: a `Model`, or a module of PyTorch."""
        if fingerprint_of(model) != self.made_by.get("fingerprint"):
            raise ValueError(
                f"the recording is of another model: a {self.made_by.get('model', UNNAMED)} with weights that are "
                f"not those of this {type(model).__name__}"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording as a safetensors file, whole or not at all; `load_recording` reads it."""
        write_parts(path, self.made_by, self.looks, self.images, self.masks, self.stopped)

    def __repr__(self) -> str:
        said = f"Recording of {self.made_by.get('model', UNNAMED)}: {len(self.looks)} looks"
        if self.looks:
            said += (
                f" (frames {listed(self.frames)}; objects {listed(self.objects)}; layers {listed(self.layers)})"
            )
        return f"{said}, {self.nbytes / 1e6:.3g} MB" + (f"; stopped: {self.stopped}" if self.stopped else "")

    def _repr_html_(self) -> str:
        """The recording in a sentence, and how much each memory got of the first objects' attention."""
        tables = [self.by_memory(name).to_html(f"object {name}") for name in self.objects[:3]]
        return f"<p>{html.escape(repr(self))}</p>{''.join(tables)}"


class Patterns:
    """The softmax rows by layer and frame, and where several objects looked at different things, by object."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __getitem__(self, place: tuple[Any, ...]) -> Float[np.ndarray, "B H Q M"]:
        """`[layer, frame]`: [B,H,Q,M] of all B objects; `[layer, frame, object]`: [1,H,Q,M] of one.

        Raises `ValueError` for what was not recorded, and where the objects' queries or memories differ, so that
        only one at a time can be had.
        """
        if not isinstance(place, tuple) or len(place) not in (2, 3):
            raise TypeError(f"pattern is asked for {place!r}, expected [layer, frame] or [layer, frame, object]")
        layer, frame, *names = place
        found = self._recording.looks_at(frame)
        looks = [found[_one_of(found, name)] for name in names] or list(found.values())
        rows = [look.at_memory(layer) for look in looks]
        if (
            len(
                {
                    (look.queries.tobytes(), look.memory_frames, one.shape)
                    for look, one in zip(looks, rows, strict=True)
                }
            )
            > 1
        ):
            raise ValueError(
                f"the objects of frame {frame} have queries or memories of their own, expected one of them: "
                f"pattern[{layer}, {frame}, {looks[0].object!r}]"
            )
        return np.stack(rows)


def load_recording(path: str | os.PathLike[str], model: Any = None) -> Recording:
    """Read a recording; nothing in it runs code.

    Raises `FileNotFoundError`, or `ValueError` for a file that is cut, is of another version, is no recording,
    or takes more memory than the limit, and where a `model` is given, for a recording of another one.
    """
    recording = Recording(*read_parts(Path(path)))
    if model is not None:
        recording.check_made_by(model)
    return recording


def fingerprint_of(model: Any) -> str:
    """What tells one model from another: a hash of the weights of its memory attention's layers.

    Of a `Model`, or a module of PyTorch, in any host, with the host's own memory attention or ours: the same
    weights are the same model, whatever their names. Empty where none are found.
    """
    weights = getattr(model, "weights", None)
    weights = weights if isinstance(weights, Mapping) else model.state_dict()
    layers = re.compile(r"(.*\blayers)\.\d+\.cross_attn_image\.")
    within = tuple({f"{found[1]}." for found in map(layers.match, weights) if found})
    hashes = sorted(_hash(value) for name, value in weights.items() if name.startswith(within))
    return hashlib.sha256(b"".join(hashes)).hexdigest() if hashes else ""


def _hash(weight: Any) -> bytes:
    array = weight.detach().float().cpu().numpy() if hasattr(weight, "detach") else weight
    return hashlib.sha256(np.ascontiguousarray(array, "<f4").tobytes()).digest()


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Some names, and whether there are more."""
    shown = [str(name)[:40] for name in names]
    return ", ".join(shown[:most] + ["…"] * (len(shown) > most)) or "none"


def _one_of(names: Iterable[str], object: Any) -> str:
    names = list(names)
    if object is None and len(names) != 1:
        raise ValueError(f"object is none, expected one of {listed(names)}")
    name = names[0] if object is None else str(object)
    if name not in names:
        raise ValueError(f"object {name} was not recorded there, expected one of {listed(names)}")
    return name


def _items(pictures: Mapping[int, Any] | Sequence[Any]) -> Iterator[tuple[int, Any]]:
    return iter(pictures.items()) if isinstance(pictures, Mapping) else enumerate(pictures)
