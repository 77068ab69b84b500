"""Clips with known masks: pieces cut out of photographs move over another one, and hide each other."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Bool, Float

from .textures import draw_textures

Rng = np.random.Generator

SIZE = 128
ANGLES = 256
LEAST_IN_SIGHT = 0.7
GONE = 0.3


@dataclass(frozen=True)
class Clip:
    """Frames [T,S,S,3] with colours 0…1, and what of each object is seen: masks [T,K,S,S], the target first."""

    frames: Float[np.ndarray, "T S S 3"]
    masks: Bool[np.ndarray, "T K S S"]


@dataclass(frozen=True)
class Path:
    """Where an object is at time t (frames, may be fractional): straight, swaying, reflected at the borders."""

    start: Float[np.ndarray, "2"]
    velocity: Float[np.ndarray, "2"]
    sway: Float[np.ndarray, "2"]
    rate: float
    phase: float
    bounded: bool = True

    def at(self, time: float) -> Float[np.ndarray, "2"]:
        """The place (x, y) in pixels."""
        place = self.start + self.velocity * time + self.sway * np.sin(self.rate * time + self.phase)
        if not self.bounded:
            return place
        low, span = 0.1 * SIZE, 0.8 * SIZE
        return low + span - np.abs((place - low) % (2 * span) - span)


OUT_OF_SIGHT = Path(np.full(2, 10.0 * SIZE), np.zeros(2), np.zeros(2), 0, 0, bounded=False)


@dataclass(frozen=True)
class Occluder:
    """How large occluders are and how far `away` at first, in radii of the target; speeds in pixels a frame."""

    sizes: tuple[float, float]
    speeds: tuple[float, float]
    away: float


PASSING = Occluder(sizes=(0.9, 1.5), speeds=(4, 9), away=0)
HIDING = Occluder(sizes=(1.3, 2.0), speeds=(2, 6), away=3)


@dataclass(frozen=True)
class Piece:
    """Something cut out of a photograph: its texture [P,P,3], outline, and how it moves, turns and grows."""

    texture: Float[np.ndarray, "P P 3"]
    outline: Float[np.ndarray, " angles"]
    radius: float
    path: Path
    turn: Float[np.ndarray, "2"]
    growth: Float[np.ndarray, "3"]

    @classmethod
    def cut(cls, rng: Rng, texture: Float[np.ndarray, "P P 3"], radius: float, path: Path) -> Self:
        """Draw the outline, the turning and the growing of a piece of about this radius (pixels)."""
        return cls(
            texture,
            draw_outline(rng),
            radius,
            path,
            turn=np.array([rng.uniform(-np.pi, np.pi), rng.normal(0, 0.06)]),
            growth=np.array([rng.uniform(0, 0.25), rng.uniform(0.1, 0.4), rng.uniform(-np.pi, np.pi)]),
        )

    def paint(self, image: Float[np.ndarray, "S S 3"], time: float) -> Bool[np.ndarray, "S S"]:
        """Paint the piece on the image, in place, and return where it covers it."""
        covered = np.zeros((SIZE, SIZE), bool)
        amount, rate, phase = self.growth
        scale = 1 + amount * np.sin(rate * time + phase)
        reach = int(np.ceil(self.radius * scale * self.outline.max())) + 1
        x, y = self.path.at(time)
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        right, bottom = min(SIZE, int(x) + reach + 2), min(SIZE, int(y) + reach + 2)
        if left >= right or top >= bottom:
            return covered

        dx = (np.arange(left, right, dtype=np.float32) - np.float32(x))[None, :]
        dy = (np.arange(top, bottom, dtype=np.float32) - np.float32(y))[:, None]
        angle = self.turn[0] + self.turn[1] * time
        cos, sin = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        direction = (np.arctan2(v, u) * np.float32(ANGLES / (2 * np.pi))).astype(np.int32) % ANGLES
        # Signed distance to the outline along the ray, in pixels: half a pixel each way is blended.
        inside = (self.radius * self.outline[direction] - np.sqrt(u * u + v * v)) * np.float32(scale)
        alpha = np.clip(inside + 0.5, 0, 1)[..., None]
        centre, last = len(self.texture) // 2, len(self.texture) - 1
        rows = np.clip((v + (centre + 0.5)).astype(np.int32), 0, last)
        columns = np.clip((u + (centre + 0.5)).astype(np.int32), 0, last)
        region = image[top:bottom, left:right]
        region += alpha * (self.texture[rows, columns] - region)
        covered[top:bottom, left:right] = inside > 0
        return covered


def draw_outline(rng: Rng) -> Float[np.ndarray, " angles"]:
    """Draw an ellipse, polygon, star or blob as large as the unit circle: its radius in `ANGLES` directions."""
    angle = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    kind = rng.integers(4)
    if kind == 0:
        ratio = rng.uniform(0.5, 1)
        radius = ratio / np.hypot(ratio * np.cos(angle), np.sin(angle))
    elif kind == 1:
        corners = rng.integers(3, 7)
        radius = 1 / np.cos((angle % (2 * np.pi / corners)) - np.pi / corners)
    elif kind == 2:
        radius = 1 + rng.uniform(0.2, 0.45) * np.sin(rng.integers(3, 7) * angle)
    else:
        waves = np.arange(2, 6)[:, None]
        radius = 1 + (rng.normal(0, 0.15, (4, 1)) * np.sin(waves * angle + rng.uniform(0, 6, (4, 1)))).sum(axis=0)
    radius = np.maximum(radius, 0.3)
    return (radius / np.sqrt(np.mean(radius**2))).astype(np.float32)


def draw_path(rng: Rng) -> Path:
    """Draw a path within the frame, 1 to 4 pixels a frame."""
    direction, speed = rng.uniform(-np.pi, np.pi), rng.uniform(1, 4)
    return Path(
        start=rng.uniform(0.15, 0.85, 2) * SIZE,
        velocity=speed * np.array([np.cos(direction), np.sin(direction)]),
        sway=rng.uniform(0, 5, 2),
        rate=rng.uniform(0.1, 0.5),
        phase=rng.uniform(-np.pi, np.pi),
    )


def crossing_path(rng: Rng, target: Path, time: float, speeds: tuple[float, float], away: float = 0) -> Path:
    """Draw a straight path that passes over the target at that time, at one of these speeds (pixels a frame).

    At first it is so many pixels `away`, at a higher speed if need be.
    """
    direction, speed = rng.uniform(-np.pi, np.pi), max(rng.uniform(*speeds), away / time)
    velocity = speed * np.array([np.cos(direction), np.sin(direction)])
    return Path(target.at(time) - velocity * time, velocity, np.zeros(2), 0, 0, bounded=False)


def make_clip(
    rng: Rng,
    names: tuple[str, ...],
    times: Float[np.ndarray, " T"],
    recolour: bool = False,
    resize: float = 1,
    hard: bool = False,
) -> Clip:
    """Compose a clip at these times (frames): a target, two or three distractors, and in most an occluder.

    All textures come from the photographs `names`, six or more, each from another one. Most of the target
    is in sight at the first time. In a `hard` clip a larger occluder passes slowly, and in half of them a cut
    puts all pieces elsewhere, the target perhaps out of sight.
    """
    distractors = int(rng.integers(2, 4))
    occluders = int(hard or rng.random() < 0.7)
    sides = [SIZE + 32] + [96] * (1 + distractors + occluders)
    background, *textures = draw_textures(rng, names, sides, recolour, resize)
    in_sight = 0.0
    while in_sight < LEAST_IN_SIGHT:
        pieces = draw_pieces(rng, textures, occluders, times[-1], HIDING if hard else PASSING)
        # Some distractors pass over the target, others under it; the occluder is on top of all.
        order = [*rng.permutation(1 + distractors), *range(1 + distractors, len(pieces))]
        first = paint_all(np.zeros((SIZE, SIZE, 3), np.float32), pieces, order, times[0])
        in_sight = first[0].sum() / (np.pi * pieces[0].radius ** 2)

    pan = Path(
        np.full(2, 16.0), rng.normal(0, 1.0, 2), rng.uniform(0, 6, 2), rng.uniform(0.1, 0.4), 0, bounded=False
    )
    cut_at = rng.uniform(0, 2 * times[-1]) if hard else np.inf
    frames = np.empty((len(times), SIZE, SIZE, 3), np.float32)
    masks = np.empty((len(times), len(pieces), SIZE, SIZE), bool)
    for index, time in enumerate(times):
        x, y = np.clip(pan.at(time), 0, 32).astype(int)
        frames[index] = background[y : y + SIZE, x : x + SIZE]
        if time > cut_at:
            pieces, cut_at = put_elsewhere(rng, pieces), np.inf
        masks[index] = paint_all(frames[index], pieces, order, time)
    return Clip(frames, masks)


def put_elsewhere(rng: Rng, pieces: list[Piece]) -> list[Piece]:
    """The pieces on other paths, as after a cut; the target may be gone."""
    paths = [draw_path(rng) for _ in pieces]
    if rng.random() < GONE:
        paths[0] = OUT_OF_SIGHT
    return [replace(piece, path=path) for piece, path in zip(pieces, paths, strict=True)]


def draw_pieces(
    rng: Rng, textures: list[Float[np.ndarray, "P P 3"]], occluders: int, duration: float, occluder: Occluder
) -> list[Piece]:
    """Draw the target, then the distractors, then the occluder of a clip, one for each texture."""
    target = Piece.cut(rng, textures[0], rng.uniform(13, 24), draw_path(rng))
    moving = textures[1 : len(textures) - occluders]
    pieces = [target, *(Piece.cut(rng, texture, rng.uniform(11, 20), draw_path(rng)) for texture in moving)]
    if occluders:
        away = occluder.away * target.radius
        path = crossing_path(rng, target.path, rng.uniform(3, max(4.0, duration)), occluder.speeds, away)
        pieces.append(Piece.cut(rng, textures[-1], target.radius * rng.uniform(*occluder.sizes), path))
    return pieces


def paint_all(
    image: Float[np.ndarray, "S S 3"], pieces: list[Piece], order: list[int], time: float
) -> Bool[np.ndarray, "K S S"]:
    """Paint the pieces one over the other on the image, in place, and return what is seen of each."""
    seen = np.zeros((len(pieces), SIZE, SIZE), bool)
    for index in order:
        covered = pieces[index].paint(image, time)
        seen &= ~covered
        seen[index] = covered
    return seen
