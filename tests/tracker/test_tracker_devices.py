"""The tracker on another device, without one: PyTorch's fake tensors have no numbers, but a device each.

An operation on tensors of two devices raises, as it would on a real one.
"""
# ruff: noqa: E402

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode

from command_line import run
from memory_attention.configs import load_config
from memory_attention.tracker import Tracker, loop
from memory_attention.tracker.weights import tracker_shapes

CONFIG = load_config("tracker")
SIZE = CONFIG.image_size
WEIGHTS = {name: np.ones(shape, np.float32) for name, shape in tracker_shapes(CONFIG).items()}
DEVICE = torch.device("meta")
CPU = torch.device("cpu")


class Attention:
    """Stands for the memory attention, which has tests of its own on devices: returns what it is given."""

    backend = "accelerated"
    network = SimpleNamespace(device=DEVICE)

    def __call__(self, *inputs):
        tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
        assert [value.device for value in tensors] == [DEVICE] * 4
        return tensors[0]


def test_all_is_on_the_device_until_it_is_handed_out(monkeypatch):
    monkeypatch.setattr(loop, "load", lambda *_, device: Attention() if device == "meta" else None)
    # What is handed out is NumPy's; a fake tensor's numbers are shown as its device.
    monkeypatch.setattr(torch.Tensor, "numpy", lambda tensor: tensor.device)
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_device = Tracker(CONFIG, WEIGHTS, "accelerated", device="meta")
        frames = np.zeros((3, 2, SIZE, SIZE, 3), np.float32)
        first, *others = on_device.follow_batch(frames, np.ones((4, SIZE, SIZE), np.float32))
        assert first.logits is None
        for step in others:
            assert step.logits == CPU
            assert step.seen[:4] == (CPU,) * 4
    held = [*on_device.networks.parameters.values(), *on_device.bank.parameters(), on_device.position]
    assert {tensor.device for tensor in held} == {DEVICE}


def test_numpy_has_the_cpu_alone():
    with pytest.raises(ValueError, match="device is 'cuda', expected 'cpu': the reference backend"):
        Tracker(CONFIG, WEIGHTS, "reference", device="cuda")


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="device is 'abacus'"):
        Tracker(CONFIG, WEIGHTS, "accelerated", device="abacus")


@pytest.mark.parametrize("command", ["demo", "track", "explore", "evaluate"])
def test_commands_take_a_device(command, capfd, tmp_path):
    words = ["--device", "abacus", "--backend", "accelerated", "--output", tmp_path / "out"]
    status, _, err = run(capfd, command, *words)
    assert status == 2
    assert err.startswith("error: device is 'abacus', expected")
    assert not (tmp_path / "out").exists()
