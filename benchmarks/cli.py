"""The command line's bench: side by side with what people run."""

from pathlib import Path
from typing import Annotated

import typer

from ..configs import load_config
from ..console import console, progress_bar
from ..files import check_kept, check_writable, write_json
from ..options import DEFAULT_CONFIG, ConfigOption, DeviceOption, DtypeOption, KernelOption
from ..rules.packages import require


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog="Example: memory-attention bench --quick")(bench)
    app.command(epilog="Example: memory-attention kept-keys --output kept_keys.json")(kept_keys)


def bench(
    config: ConfigOption = DEFAULT_CONFIG,
    device: DeviceOption = None,
    dtype: DtypeOption = "float32",
    kernel: KernelOption = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Ours too, and in every case, through torch.compile.")
    ] = False,
    turns: Annotated[
        int | None, typer.Option(min=1, help="How often each contender has its turn [default: 5, quick 3]")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A frame on half the grid, objects on a quarter: half a minute."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights and inputs.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The JSON file to write after every case.")] = None,
    plot: Annotated[Path | None, typer.Option(help="The PNG file to write.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the output of a run cut short.")] = False,
) -> None:
    """Time our paths, the textbook formula, the reference and what others run side by side, in turns."""
    require("torch", "bench")
    from ..accelerated.kernels import check_kernel
    from ..backends.accelerated import find_device
    from .cases import Setting, cases
    from .contenders import PEER, available
    from .measuring import measure
    from .results import read_result, result
    from .table import print_case

    if plot is not None:
        require("matplotlib", "the plot")
        if quick:
            raise ValueError("plot is set, and quick too, which sees nothing grow: expected one of them")
    for path in (output, plot):
        if path is not None:
            check_writable(path)
            check_kept(path, config)
    if resume and output is None:
        raise ValueError("resume is set, but output is not: expected the file to go on from")
    check_kernel(kernel)
    where = str(find_device(device))
    setting = Setting(config, where, dtype, seed, turns or (3 if quick else 5), kernel, compiled)
    names, missing = available(load_config(config), where, compiled)
    for name, reason in missing.items():
        with_it = ", and with it every ratio" if name == PEER else ""
        console.print(f"{name} is left out{with_it}: {reason}")
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
                write_json(output, result(setting, done))
    if plot is not None:
        from ..pictures.figures import save
        from .plots import draw_growth

        save(draw_growth(result(setting, done)), plot)
        console.print(f"plot → {plot}")
    if output is not None:
        console.print(f"result → {output}")


def kept_keys(
    output: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
) -> None:
    """Measure whether keeping every frame's rotated keys for the next frame would pay."""
    require("torch", "kept-keys")
    from .kept_keys import measure_kept_keys

    if output is not None:
        check_writable(output)
    figures = measure_kept_keys()
    saved = figures["share_of_a_frame_saved"]
    console.print(
        f"kept keys save {saved['median']:.1%} of a frame ({saved['least']:.1%} to {saved['most']:.1%}) "
        f"for {figures['megabytes_kept']:.0f} MB more"
    )
    if output is not None:
        write_json(output, figures)
