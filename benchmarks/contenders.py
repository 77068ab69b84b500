"""What a benchmark compares: our paths, the textbook formula, the reference, and what others run."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import available_backends
from ..configs import Config
from ..inputs import Inputs
from ..model import load
from .cases import Case, Setting
from .peers import accelerated_peer, build_peer, build_sam2, call_of_peer, call_of_sam2, check_expressible

CONTENDERS = {
    "fast": "the accelerated backend as it is",
    "one by one": "fast, called for one object after another, as hosts do it",
    "plain": "the accelerated backend, values projected, PyTorch's own kernel",
    "textbook": "the accelerated backend with all N × M logits",
    "reference": "the NumPy reference",
    "transformers": "Hugging Face's Sam2VideoMemoryAttention with SDPA",
    "accelerate": "the same after memory_attention.accelerate",
    "sam2": "SAM 2's own MemoryAttention",
    "onnx": "the exported graph in onnxruntime",
    "fast compiled": "fast through torch.compile",
    "transformers compiled": "transformers through torch.compile",
    "sam2 compiled": "sam2 through torch.compile",
}
PEER = "transformers"

SHARES = ("fast", "fast compiled", "one by one", "reference")
"""Contenders that are given a frame once for all objects; there is no other way to call the others."""

PACKAGES = {
    PEER: ("transformers",),
    "accelerate": ("transformers",),
    "sam2": ("sam2", "iopath"),
    "onnx": ("onnx", "onnxruntime"),
}


@dataclass
class Contender:
    """Something with the call of a memory attention, a bank that feeds it, and its own kind of arrays."""

    name: str
    attention: Callable[..., Any]
    bank: Any
    native: Callable[[np.ndarray], Any]
    to_numpy: Callable[[Any], np.ndarray]


def available(config: Config, device: str, compiled: bool) -> tuple[list[str], dict[str, str]]:
    """The contenders that this machine has, and in a word why it lacks each of the others."""
    missing = {name: reason for name in CONTENDERS if (reason := _lack(name.removesuffix(" compiled"), config))}
    if device != "cpu":
        missing |= {"reference": "it is NumPy's", "onnx": "it runs on the CPU"}
    unasked = () if compiled else ("fast compiled",)
    return [name for name in CONTENDERS if name not in (*missing, *unasked)], missing


def _lack(name: str, config: Config) -> str | None:
    for package in PACKAGES.get(name, ()):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    if name in (PEER, "accelerate"):
        try:
            check_expressible(config)
        except ValueError as error:
            return str(error)
    if name == "onnx" and "onnx" not in available_backends():
        return "there is no backend of that name"
    return None


def build_contender(
    name: str, config: Config, weights: Mapping[str, np.ndarray], case: Case, setting: Setting
) -> Contender:
    """Build one of `CONTENDERS` with these weights for a case; the setting's kernel forces that of `fast`.

    Raises `ValueError` for a config that `transformers` cannot express.
    """
    if name in ("reference", "onnx"):
        return _of_numpy(name, config, weights, setting)
    import torch

    from ..accelerated import MemoryBank
    from ..backends.accelerated import TorchNetwork, compile_for, to_numpy

    torch_dtype, where = getattr(torch, setting.dtype), torch.device(setting.device)
    grid = (case.grid, case.grid)

    def placed(module: Any) -> Any:
        module = module.to(where, torch_dtype)
        return compile_for(where, module) if name.endswith(" compiled") else module

    if name == "accelerate":
        attention = call_of_peer(accelerated_peer(build_peer(config, weights, grid).to(where, torch_dtype)))
    elif name.startswith(PEER):
        attention = call_of_peer(placed(build_peer(config, weights, grid)))
    elif name.startswith("sam2"):
        attention = call_of_sam2(placed(build_sam2(config, weights, grid)))
    else:
        network = TorchNetwork(config, weights, where, torch_dtype)
        if name in ("plain", "textbook"):
            network.module.use_kernel("pytorch" if name == "plain" else "textbook", memory_space=False)
        else:
            network.tune(setting.kernel, compiled="compiled" in name)
        attention = network.call

    def native(array: np.ndarray) -> Any:
        return torch.from_numpy(array).to(where, torch_dtype)

    bank = MemoryBank(config, weights).requires_grad_(False).to(where)
    return Contender(name, attention, bank, native, to_numpy)


def _of_numpy(name: str, config: Config, weights: Mapping[str, np.ndarray], setting: Setting) -> Contender:
    from ..reference import MemoryBank

    model = load(config, name, weights, dtype=setting.dtype, check_numbers=False)
    # NumPy has no bfloat16, to which the network rounds by itself.
    held = "float32" if setting.dtype == "bfloat16" else setting.dtype
    return Contender(name, model, MemoryBank(config, weights), lambda array: array.astype(held), np.asarray)


def one_frame(contender: Contender, inputs: Inputs, gradients: bool = False) -> Callable[[], Any]:
    """A call on one frame; those that share it between the objects are given it once.

    With `gradients` the call goes back to every parameter and to what the frame and the memory are, and gives
    the frame's result all the same.
    """
    objects = inputs.memory.shape[1]
    frames = 1 if contender.name in SHARES else objects
    if contender.name == "one by one":
        each = [_call(contender, _object_of(inputs, number), frames, gradients) for number in range(objects)]
        return lambda: _joined([call() for call in each])
    return _call(contender, inputs, frames, gradients)


def _object_of(inputs: Inputs, number: int) -> Inputs:
    """What one object sees; the frame is the first one's."""
    return inputs._replace(
        memory=np.ascontiguousarray(inputs.memory[:, [number]]),
        memory_pos=None if inputs.memory_pos is None else np.ascontiguousarray(inputs.memory_pos[:, [number]]),
    )


def _joined(results: list[Any]) -> Any:
    import torch

    return torch.cat(results, dim=1)


def _call(contender: Contender, inputs: Inputs, frames: int, gradients: bool) -> Callable[[], Any]:
    def frame(array: np.ndarray | None) -> Any:
        return None if array is None else contender.native(np.repeat(array[:, :1], frames, axis=1))

    arguments = {
        "curr": frame(inputs.curr),
        "memory": contender.native(inputs.memory),
        "curr_pos": frame(inputs.curr_pos),
        "memory_pos": contender.native(inputs.memory_pos) if inputs.memory_pos is not None else None,
        "num_obj_ptr_tokens": inputs.num_obj_ptr_tokens,
        "grid": inputs.grid,
    }
    if not gradients:
        return lambda: contender.attention(**arguments)
    for name in ("curr", "memory"):
        arguments[name].requires_grad_()

    def forward_and_backward() -> Any:
        result = contender.attention(**arguments)
        result.float().square().mean().backward()
        return result

    return forward_and_backward
