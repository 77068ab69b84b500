"""The command line's bench: side by side with what people run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from .configs import load_config
from .console import console, progress_bar
from .files import check_writable, require, whole_file


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog="Example: memory-attention bench --quick")(bench)


def bench(
    config: Annotated[
        str, typer.Option(help="A bundled config or the path of a SAM 2 YAML file.")
    ] = "sam2.1_hiera_t",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, … [default: the GPU if there is one]")] = None,
    dtype: Annotated[str, typer.Option(help="float32, float64, float16 or bfloat16.")] = "float32",
    kernel: Annotated[
        str | None, typer.Option(help="Force the kernel of the fast path [default: by size]")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Also through torch.compile.")] = False,
    turns: Annotated[int, typer.Option(min=1, help="How often each contender has its turn.")] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Some seconds on a small grid, to see that it runs.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights and inputs.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The JSON file to write after every case.")] = None,
    plot: Annotated[Path | None, typer.Option(help="The PNG file to write.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the output of a run cut short.")] = False,
) -> None:
    """Time our paths, the textbook formula, the reference and transformers side by side, in turns."""
    require("torch", "bench", extra="accelerated")
    from .accelerated.kernels import check_kernel
    from .accelerated_backend import find_device
    from .bench import Setting, cases, measure, read_result, result
    from .contenders import available

    if plot is not None:
        require("matplotlib", "the plot")
    for path in (output, plot):
        if path is not None:
            check_writable(path)
    if resume and output is None:
        raise ValueError("resume is set, but output is not: expected the file to go on from")
    check_kernel(kernel)
    where = str(find_device(device))
    setting = Setting(config, where, dtype, seed, turns, kernel, compiled)
    names = available(where, compiled)
    done = read_result(output, setting) if resume and output is not None else []
    chosen = cases(load_config(config), quick)
    with progress_bar() as progress:
        task = progress.add_task("", total=len(chosen))
        for case in chosen:
            if not any(case.name == earlier["name"] for earlier in done):
                done.append(
                    measure(
                        case,
                        names,
                        setting,
                        lambda step: progress.update(task, description=step),
                        memory=not quick,
                    )
                )
                print_case(done[-1])
            progress.advance(task)
            if output is not None:
                with whole_file(output) as temporary:
                    temporary.write_text(json.dumps(result(setting, done), indent=1) + "\n", encoding="utf-8")
    if plot is not None:
        from .bench_plots import draw_growth
        from .plots import save

        save(draw_growth(result(setting, done)), plot)
        console.print(f"plot → {plot}")
    if output is not None:
        console.print(f"result → {output}")


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
