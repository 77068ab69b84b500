"""A case as a table."""

from typing import Any

from rich.table import Table

from ..console import console


def print_case(case: dict[str, Any]) -> None:
    """Print one case as a table: ratios first, and how noisy the machine was."""
    rate, rows = case["matrix_product_gflop_per_second"], case["contenders"]
    caption = f"{case['needed_gflop']:.1f} GFLOP needed; matrix product {rate:.0f} GFLOP/s, "
    caption += f"half of its times within {case['matrix_product_spread']:.0%}; "
    caption += f"floor {case['needed_gflop'] / rate:.3g} s"
    if "attention_share_of_floor" in case:
        caption += f"; attention alone {case['attention_share_of_floor']:.0%} of the floor"
    if any(row.get("noisy") for row in rows.values()):
        caption += "\n?: half of the ratios are spread wider than their median is away from 1"
    table = Table(title=case["name"], caption=caption)
    for column in ("", "times faster than transformers", "share of the floor", "seconds", "mean error", "MB"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in rows.items():
        table.add_row(
            name,
            faster(row) if "lower" in row else "",
            f"{row['share_of_floor']:.0%}",
            f"{row['time']:.3g}",
            f"{row['error']:.1e}" if "error" in row else "",
            f"{row['peak_mb']:.0f}" if row.get("peak_mb") is not None else "",
        )
    console.print(table)


def faster(row: dict[str, Any]) -> str:
    """A contender's ratio with its quartiles, marked where it is noisier than what it claims."""
    ratio = f"{row['times_faster_than_peer']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
    return f"{ratio} ?" if row["noisy"] else ratio
