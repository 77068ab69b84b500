"""Exported files: written, verified, and only then put in their place."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..compare import StepDifference
from ..configs import Config, load_config
from ..files import check_writable, whole_file
from ..inputs import Inputs
from ..rules.packages import require
from ..weights import Weights, draw_weights
from .form import Form
from .verifying import verify

FORMATS = ("onnx", "pt2")


def export(
    output: str | os.PathLike[str],
    config: Config,
    weights: Weights,
    form: Form,
    kind: str = "onnx",
    seed: int = 0,
    report: Callable[[StepDifference], object] = lambda difference: None,
) -> None:
    """Write the memory attention with these parameters to `output`: as an ONNX file, or for `torch.export`.

    What was written is run at three sizes, on numbers drawn from `seed`, and each result's distance from the
    reference in float64 is handed to `report`. Raises `ValueError` where one is past its bound, and then
    there is no file; and before the work, `OSError` for an output that cannot be written, `ModuleNotFoundError`
    without the packages, `ValueError` for a `form` that the format or this onnxruntime lacks.
    """
    check_writable(output)
    check_format(kind, form, output)
    with whole_file(output) as temporary:
        run = (_write_onnx if kind == "onnx" else _write_pt2)(temporary, config, weights, form)
        past = 0
        for difference in verify(run, config, weights, form.dtype, form.grid, seed):
            report(difference)
            past += not difference.within
        if past:
            raise ValueError(f"the {kind} file is past its bound at {past} of the sizes: nothing was written")


def check_format(kind: str, form: Form, output: str | os.PathLike[str]) -> None:
    """Raise before the work for what cannot be had: see `export`."""
    if kind not in FORMATS:
        raise ValueError(f"format is {kind!r}, expected {' or '.join(FORMATS)}")
    if kind == "pt2":
        require("torch", "export to pt2")
        if form.grid is None:
            raise ValueError("grid is free, which a program of format pt2 cannot be: expected ROWS,COLUMNS")
        if form.parts != 1:
            raise ValueError(f"parts is {form.parts}, expected 1 for format pt2, whose kernels hold no logits")
        if Path(output).suffix != ".pt2":
            raise ValueError(f"output: {output} does not end in .pt2, by which PyTorch knows the format")
        return
    from .onnx.file import build_model
    from .onnx.runtime import Session

    # A tiny graph of the same operators: what this onnxruntime lacks is known before the work.
    tiny = load_config("tiny")
    small = replace(form, grid=form.grid and (3, 5), parts=min(form.parts, 2))
    Session(build_model(tiny, draw_weights(tiny), small).SerializeToString())


def _write_onnx(path: Path, config: Config, weights: Weights, form: Form) -> Callable[[Inputs], np.ndarray]:
    from .onnx.backend import FileBackend
    from .onnx.file import build_model

    path.write_bytes(build_model(config, weights, form).SerializeToString())
    network = FileBackend(path).build(config, weights, None, form.dtype)
    return lambda inputs: network(*inputs, None)


def _write_pt2(path: Path, config: Config, weights: Weights, form: Form) -> Callable[[Inputs], np.ndarray]:
    from .pt2 import read_program, write_program

    assert form.grid is not None
    write_program(path, config, weights, form.dtype, form.grid)
    return read_program(path, config, form.dtype)
