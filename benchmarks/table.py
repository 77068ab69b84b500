"""A case as a table."""

from typing import Any

from rich.table import Table

from ..console import console


def print_case(case: dict[str, Any]) -> None:
    """Print one case as a table: ratios first."""
    rate = case["matrix_product_gflop_per_second"]
    floor = case["needed_gflop"] / rate
    caption = f"{case['needed_gflop']:.1f} GFLOP needed; matrix product {rate:.0f} GFLOP/s; floor {floor:.3g} s"
    if "attention_share_of_floor" in case:
        caption += f"; attention alone {case['attention_share_of_floor']:.0%} of the floor"
    table = Table(title=case["name"], caption=caption)
    for column in ("", "times faster than transformers", "share of the floor", "seconds", "mean error", "MB"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in case["contenders"].items():
        faster = ""
        if "times_faster_than_peer" in row:
            faster = f"{row['times_faster_than_peer']:.2f} ({row['least']:.2f}–{row['most']:.2f})"
        table.add_row(
            name,
            faster,
            f"{row['share_of_floor']:.0%}",
            f"{row['time']:.3g}",
            f"{row['error']:.1e}" if "error" in row else "",
            f"{row['peak_mb']:.0f}" if row.get("peak_mb") is not None else "",
        )
    console.print(table)
