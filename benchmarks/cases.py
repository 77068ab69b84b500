"""What a benchmark measures: frames and videos of some sizes, in one setting."""

from dataclasses import dataclass

from ..configs import Config
from .ratios import FEWEST

MOST_LOGIT_BYTES = 2**28
"""Beyond so much for one N × M array our slower ways are left out; the textbook formula needs several."""

MOST_LOGITS = 7 * 64**4
"""A case with more of them, over all objects, takes long: fewer turns, no first call, no truth."""

RIVALS = ("fast", "transformers")
"""Contenders in every case and every turn; where all take part, the others sit out every other turn."""

LEARN = (*RIVALS, "sam2", "accelerate")
"""Contenders with gradients; `plain` and `textbook` are forced at inference only."""


@dataclass(frozen=True)
class Case:
    """One frame that sees `memories`, or a video of `frames` through the bank, for some objects on a grid.

    `gradients`: forward and backward. `others`: also contenders that are no rivals, and `compiled`: also the
    peers through `torch.compile`; on a GPU, where all is fast, they are in every case.
    """

    memories: int
    objects: int
    grid: int
    frames: int = 1
    gradients: bool = False
    others: bool = False
    compiled: bool = False

    @property
    def name(self) -> str:
        """In words."""
        seen = f"{self.memories} memories" if self.frames == 1 else f"video of {self.frames} frames"
        objects = "1 object" if self.objects == 1 else f"{self.objects} objects"
        ways = ", forward and backward" if self.gradients else ""
        return f"{self.grid}×{self.grid}, {seen.replace('1 memories', '1 memory')}, {objects}{ways}"


@dataclass(frozen=True)
class Setting:
    """What all cases of one run have in common."""

    config: str
    device: str
    dtype: str
    seed: int
    turns: int
    kernel: str | None = None
    compiled: bool = False


def cases(config: Config, quick: bool = False) -> list[Case]:
    """What is measured: memory lengths, objects, a video, grids and gradients; `quick` is a small sample."""
    full = config.memory_bank.num_maskmem
    side = config.grid[0]
    half, quarter = max(1, side // 2), max(1, side // 4)
    if quick:
        return [Case(full, 1, half), Case(full, 3, quarter)]
    return [
        Case(full, 1, side, others=True),
        Case(1, 1, side),
        Case(2 * full + 1, 1, side),
        Case(full, 3, side),
        Case(full, 1, side, frames=16),
        Case(full, 1, half, others=True, compiled=True),
        *(Case(full, objects, half) for objects in (3, 8)),
        Case(full, 1, half, gradients=True),
        Case(full, 1, quarter),
    ]


def is_heavy(case: Case) -> bool:
    """Whether one call takes tens of seconds."""
    return _logits(case) > MOST_LOGITS


def fits(case: Case, name: str, setting: Setting) -> bool:
    """Some contenders are left out where they would take too long or too much memory, or are not meant."""
    if case.gradients:
        return name in LEARN
    if name == "one by one":
        return case.objects > 1 and case.frames == 1 and not is_heavy(case)
    if name in RIVALS or name == "fast compiled":
        return True
    size = 2 if setting.dtype in ("float16", "bfloat16") else 4
    if name in ("plain", "textbook") and (case.frames > 1 or _logits(case) * size > MOST_LOGIT_BYTES):
        return False
    if name.endswith(" compiled"):
        return case.compiled or setting.compiled
    return case.others or setting.device.startswith("cuda")


def turns_of(case: Case, turns: int) -> int:
    """Fewer turns for what takes long, but as many as quartiles need."""
    fewer = is_heavy(case) or case.objects > 1 or case.gradients
    return min(turns, max(FEWEST, (turns + 1) // 2)) if fewer else turns


def _logits(case: Case) -> int:
    return case.memories * case.objects * case.grid**4
