"""How time and memory grow with the memory and with the grid, for every contender."""

from typing import Any

from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, ScalarFormatter

from ..pictures.figures import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart; markers tell them apart in print.
STYLES = {
    "fast": ("#0072b2", "o"),
    "plain": ("#56b4e9", "s"),
    "textbook": ("#999999", "x"),
    "reference": ("#009e73", "^"),
    "transformers": ("#d55e00", "D"),
    "fast compiled": ("#000000", "v"),
    "transformers compiled": ("#cc79a7", "P"),
    "sam2": ("#e69f00", "<"),
    "sam2 compiled": ("#f0e442", ">"),
    "onnx": ("#882255", "*"),
}


def draw_growth(result: dict[str, Any]) -> Figure:
    """Draw the result of a benchmark: seconds and MB of one frame against memories and against the grid.

    Raises `ValueError` where there is no growth to see.
    """
    single = [case for case in result["cases"] if case["frames"] == case["objects"] == 1 and not case["gradients"]]
    by_memory, by_grid = _longest(single, "grid", "memories"), _longest(single, "memories", "grid")
    if len(by_memory) < 2 or len(by_grid) < 2:
        raise ValueError("the result has no two memory lengths and no two grids, expected some to draw growth")
    side, full = by_memory[0]["grid"], by_grid[0]["memories"]
    fields = [("time", "seconds"), ("peak_mb", "MB beyond inputs and weights")]
    if not any(row.get("peak_mb") for case in single for row in case["contenders"].values()):
        fields = fields[:1]

    figure = Figure(figsize=(9.5, 0.8 + 3.2 * len(fields)), layout="constrained", dpi=110)
    axes = figure.subplots(len(fields), 2, squeeze=False)
    for column, (cases, key, label, title) in enumerate(
        [
            (by_memory, "memories", "memory frames", f"a frame of {side} × {side} tokens"),
            (by_grid, "grid", "side of the grid, in tokens", f"a frame that sees {full} memories"),
        ]
    ):
        for row, (field, unit) in enumerate(fields):
            _draw(axes[row, column], cases, key, field)
            axes[row, column].set(xlabel=label, ylabel=unit, title=title if row == 0 else "")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    count = result["machine"]["threads"]
    threads = f"{result['machine']['processor']}, {count} thread{'' if count == 1 else 's'}"
    where = result["machine"].get("device", threads)
    figure.suptitle(f"{result['setting']['config']}, {result['setting']['dtype']}, 1 object; {where}", fontsize=11)
    return figure


def _longest(cases: list[dict[str, Any]], fixed: str, varied: str) -> list[dict[str, Any]]:
    """The cases with the same `fixed` of which there are most, by `varied`."""
    longest: list[dict[str, Any]] = []
    for value in {case[fixed] for case in cases}:
        group = [case for case in cases if case[fixed] == value]
        longest = max(longest, group, key=len)
    return sorted(longest, key=lambda case: case[varied])


def _draw(axis: Any, cases: list[dict[str, Any]], key: str, field: str) -> None:
    for name, (colour, marker) in STYLES.items():
        points = [
            (case[key], case["contenders"][name][field])
            for case in cases
            if case["contenders"].get(name, {}).get(field)
        ]
        if points:
            axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=name, linewidth=1.5)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    places = sorted({case[key] for case in cases})
    axis.xaxis.set_major_locator(FixedLocator(places))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(visible=True, which="major", color="#dddddd", linewidth=0.7)
    axis.spines[["top", "right"]].set_visible(False)
