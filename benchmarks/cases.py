"""What a benchmark measures: frames and videos of some sizes, in one setting."""

from dataclasses import dataclass

from ..configs import Config

MOST_LOGIT_BYTES = 2**28
"""Beyond so much for one N × M array the textbook formula, which needs several, is left out."""

RIVALS = ("fast", "transformers")
"""Contenders in every case and every turn; the others sit out every other turn."""

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
        return [Case(full, 1, half, others=True), Case(full, 3, half), Case(1, 1, half), Case(1, 1, side)]
    return [
        Case(full, 1, side, others=True, compiled=True),
        Case(1, 1, side, others=True),
        Case(2 * full + 1, 1, side),
        Case(full, 1, side, frames=16),
        Case(full, 3, side),
        Case(full, 1, half, others=True),
        *(Case(full, objects, half) for objects in (3, 8)),
        Case(full, 1, half, gradients=True),
        *(Case(memories, 1, quarter, others=True) for memories in (1, full)),
        Case(full, 1, side - quarter),
    ]


def fits(case: Case, name: str, setting: Setting) -> bool:
    """Some contenders are left out where they would take too long or too much memory, or are not meant."""
    if case.gradients:
        return name in LEARN
    if name == "one by one":
        return case.objects > 1 and case.frames == 1
    if name in RIVALS or name == "fast compiled":
        return True
    logits = case.grid**2 * (case.memories * case.grid**2) * case.objects
    size = 2 if setting.dtype in ("float16", "bfloat16") else 4
    if name == "textbook" and (case.frames > 1 or logits * size > MOST_LOGIT_BYTES):
        return False
    if name.endswith(" compiled"):
        return case.compiled or setting.compiled
    return case.others or setting.device.startswith("cuda")


def turns_of(case: Case, turns: int) -> int:
    """Fewer turns for what takes minutes."""
    tokens = case.memories * case.objects * case.grid**4
    return max(1, (turns + 1) // 2) if tokens > 7 * 64**4 else turns
