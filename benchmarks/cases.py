"""What a benchmark measures: frames and videos of some sizes, in one setting."""

from dataclasses import dataclass

from ..configs import Config

MOST_LOGIT_BYTES = 2**31
"""Beyond so much for one N × M array the textbook formula, which needs several, is left out."""


@dataclass(frozen=True)
class Case:
    """One frame that sees `memories`, or a video of `frames` through the bank, for some objects on a grid."""

    memories: int
    objects: int
    grid: int
    frames: int = 1

    @property
    def name(self) -> str:
        """In words."""
        seen = f"{self.memories} memories" if self.frames == 1 else f"video of {self.frames} frames"
        objects = "1 object" if self.objects == 1 else f"{self.objects} objects"
        return f"{self.grid}×{self.grid}, {seen.replace('1 memories', '1 memory')}, {objects}"


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
    """What is measured: memory lengths, grids, objects and a video; `quick` is a small sample."""
    full = config.memory_bank.num_maskmem
    side = config.grid[0]
    if quick:
        return [Case(1, 1, 8), Case(2, 1, 8), Case(2, 1, 12), Case(2, 2, 8), Case(2, 1, 8, frames=4)]
    lengths = [Case(memories, 1, side) for memories in (full, 1, 2, 4)]
    objects = [Case(memories, 3, side) for memories in (full, 1)]
    grids = [Case(1, 1, 16), *(Case(full, 1, grid) for grid in (16, 32, 48, 96))]
    return [*lengths[:2], Case(full, 1, side, frames=16), *objects, *grids[:-1], *lengths[2:], grids[-1]]


def fits(case: Case, name: str, setting: Setting) -> bool:
    """Some contenders are left out where they would take too long or too much memory."""
    logits = case.grid**2 * (case.memories * case.grid**2) * case.objects
    size = 2 if setting.dtype in ("float16", "bfloat16") else 4
    slow = case.frames > 1 or case.objects > 1 or case.grid > 64
    if name == "textbook":
        return not slow and logits * size <= MOST_LOGIT_BYTES
    return name != "reference" or not slow


def turns_of(case: Case, turns: int) -> int:
    """Fewer turns for what takes minutes."""
    return max(1, turns // 2) if case.objects > 1 or case.grid > 64 else turns
