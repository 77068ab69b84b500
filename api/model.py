"""The front door: `load` a model, call it, trace it, look where it looks."""

import operator
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from .attention_map import attention_rows, compared_steps
from .backends import Network, find_backend
from .configs import Config, load_config
from .extremes import LARGEST, warn_of_numbers
from .inputs import Inputs
from .rules.contract import check_inputs, unwrap_list
from .rules.grids import check_grid
from .rules.numbers import is_whole_number, whole_number
from .rules.record import Record
from .tolerances import BOUNDS
from .weights import Weights, draw_weights, read_weights


class Model:
    """SAM 2's memory attention with weights, on one backend."""

    def __init__(
        self,
        config: Config,
        weights: Weights,
        backend: str | None,
        device: str | None,
        dtype: str,
        kernel: str | None = None,
        compiled: bool = False,
        check_numbers: bool | None = None,
    ) -> None:
        if dtype not in BOUNDS:
            raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(BOUNDS)}")
        for name, weight in weights.items():
            if float(np.abs(weight).max(initial=0)) > LARGEST[dtype]:
                raise ValueError(f"{name} has values beyond {LARGEST[dtype]:g}, the largest number of {dtype}")
        self.config = config
        self.weights = weights
        self.dtype = dtype
        self.device = device
        self.check_numbers = check_numbers
        self.backend, found = find_backend(backend)
        self.network: Network = found.build(config, weights, device, dtype)
        if kernel is not None or compiled:
            tune = getattr(self.network, "tune", None)
            if tune is None:
                asked = f"kernel is {kernel!r}" if kernel is not None else f"compiled is {compiled}"
                raise ValueError(f"{asked}, but the {self.backend} backend has no such choice")
            tune(kernel, compiled)

    def __repr__(self) -> str:
        return f"Model({self.config.name!r}, backend={self.backend!r}, dtype={self.dtype!r})"

    def __call__(
        self,
        curr: Any,
        memory: Any,
        curr_pos: Any = None,
        memory_pos: Any = None,
        num_obj_ptr_tokens: int = 0,
        grid: tuple[int, int] | None = None,
    ) -> Any:
        """Let a frame's tokens `curr` [N,B,C] look at `memory` [M,B,C_m]; returns [N,B,C] in the model's dtype.

        `curr` [N,1,C] is a frame that all B objects share. Takes and returns NumPy arrays (float32 for
        bfloat16); the accelerated backend also takes torch tensors and returns one on their device, with
        gradients; under `torch.no_grad` it takes its fast paths. The last `num_obj_ptr_tokens` of the
        memory are object pointers. All have one dtype, or under `torch.autocast` any.

        Raises `TypeError` or `ValueError` naming the argument that does not fit. Warns (`RuntimeWarning`) of an
        input with NaN or infinity, of one with numbers that the model's dtype does not hold, and where all are
        fine of NaN or infinity in the result; see `check_numbers` of `load`.
        """
        return self.run(Inputs(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid), None)

    def trace(
        self,
        curr: Any,
        memory: Any,
        curr_pos: Any = None,
        memory_pos: Any = None,
        num_obj_ptr_tokens: int = 0,
        grid: tuple[int, int] | None = None,
        names: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Every step's output by name, in order, or that of the steps in `names`; inputs as in a call.

        The names are the same in every backend: `input`, `layers.0.norm1`, `layers.0.self_attn.q`,
        `layers.0.self_attn.q_rotated`, … `norm`. Inside the network arrays are batch-first.
        """
        steps: dict[str, np.ndarray] = {}

        def record(name: str, value: np.ndarray) -> np.ndarray:
            if names is None or name in names:
                steps[name] = value
            return value

        self.run(Inputs(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid), record)
        if names is not None and not steps.keys() >= set(names):
            raise ValueError(f"names has {min(set(names) - steps.keys())!r}, which is no step of this model")
        return steps

    def attention_map(
        self,
        curr: Any,
        memory: Any,
        curr_pos: Any = None,
        memory_pos: Any = None,
        num_obj_ptr_tokens: int = 0,
        grid: tuple[int, int] | None = None,
        *,
        layer: int,
        kind: Literal["self", "cross"] = "cross",
        queries: int | Sequence[int] | Literal["all"],
    ) -> np.ndarray:
        """The softmax rows [B,H,Q,M] of chosen queries in one layer: where those queries look.

        `queries` are token numbers, row by row in the frame; `"all"` gives the whole N × M matrix.
        `kind` is `"cross"` (at the memory) or `"self"` (at the frame itself, M = N). Inputs as in a call.
        """
        query, key = compared_steps(self.config.memory_attention, layer, kind)
        steps = self.trace(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid, names=[query, key])
        return attention_rows(steps[query], steps[key], queries)

    def run(self, inputs: Inputs, record: Record | None) -> Any:
        """Check the inputs, run, and warn of NaN and infinity; `record` is handed every step's output."""
        curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid = inputs
        curr, curr_pos = unwrap_list(curr, "curr"), unwrap_list(curr_pos, "curr_pos")
        network = self.config.memory_attention
        check_inputs(
            curr,
            memory,
            curr_pos,
            memory_pos,
            num_obj_ptr_tokens,
            network.d_model,
            network.memory_dim,
            batch_first=not network.batch_first,
            one_dtype=not getattr(self.network, "brings_dtypes_together", False),
        )
        grid = None if grid is None else check_grid(grid)
        num_obj_ptr_tokens = whole_number(num_obj_ptr_tokens, "num_obj_ptr_tokens")
        given = {"curr": curr, "memory": memory, "curr_pos": curr_pos, "memory_pos": memory_pos}
        arrays = {name: _plain(value, name, type(curr)) for name, value in given.items() if value is not None}
        positions = arrays.get("curr_pos"), arrays.get("memory_pos")
        result = self.network(arrays["curr"], arrays["memory"], *positions, num_obj_ptr_tokens, grid, record)
        if self._checks(curr):
            warn_of_numbers(arrays, result, self.dtype, stacklevel=3)
        return result

    def _checks(self, curr: Any) -> bool:
        """Whether numbers are looked at: unless asked, not where that would make the CPU wait for a GPU."""
        if self.check_numbers is not None:
            return self.check_numbers
        return isinstance(curr, np.ndarray) or curr.device.type == "cpu"


def _plain(value: Any, name: str, kind: type) -> Any:
    """A NumPy array without its subclass (a memory map, say), or a tensor, like `curr`."""
    if isinstance(value, np.ndarray) and issubclass(kind, np.ndarray):
        return np.asarray(value)
    if hasattr(value, "aminmax") and hasattr(kind, "aminmax"):
        return value
    raise TypeError(
        f"{name} is {type(value).__name__}, expected all inputs to be NumPy arrays, or all torch tensors"
    )


def load(
    config: str | os.PathLike[str] | Config,
    backend: str | None = None,
    weights: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str | None = None,
    dtype: str = "float32",
    kernel: str | None = None,
    compiled: bool = False,
    check_numbers: bool | None = None,
) -> Model:
    """Load SAM 2's memory attention.

    `config`: a bundled name, the path of a SAM 2 YAML file, or a parsed config. `backend`:
    `"reference"`, `"accelerated"` or a registered one; none takes `MEMORY_ATTENTION_BACKEND`, else the
    reference. `weights`: the path of a checkpoint, a mapping of names to arrays (see `read_weights`), or none,
    and then they are drawn from `seed`, the same in every backend. `device`: `"cpu"`, `"cuda"`, …; none
    takes the GPU if the backend has one. `dtype`: `"float32"`, `"float64"`, `"float16"` or `"bfloat16"`.
    `kernel`: one of `accelerated.kernels.KERNELS`; none leaves it to `accelerated.choice`. `compiled`: through
    `torch.compile`, on a GPU with CUDA graphs. Both are the accelerated backend's. `check_numbers`: whether
    a call looks for NaN, infinity and numbers beyond `dtype`, and warns; none looks unless the inputs are
    tensors on a GPU, where it would have to wait for the result.
    """
    parsed = load_config(config)
    if not is_whole_number(seed) or seed < 0:
        raise ValueError(f"seed is {seed!r}, expected a whole number that is not negative")
    parameters = draw_weights(parsed, operator.index(seed)) if weights is None else read_weights(weights, parsed)
    return Model(parsed, parameters, backend, device, dtype, kernel, compiled, check_numbers)
