"""What only the accelerated bank has: gradients, what it keeps from frame to frame, a compiler."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from banks import draw_parameters, make_config
from memory_attention import accelerated, reference


def test_gradients_reach_every_parameter_and_the_outputs_of_past_frames() -> None:
    config = make_config(no_obj_embed_spatial=True, proj_tpos_enc_in_obj_ptrs=True, num_maskmem=3)
    bank = accelerated.MemoryBank(config, draw_parameters(config))
    memory = torch.ones(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    pointer = torch.ones(1, 8, dtype=torch.float64, requires_grad=True)
    bank.add(0, memory, pointer, conditioning=True, absent=torch.tensor([True]))
    bank.add(1, memory * 2, pointer * 2)
    tokens = bank.tokens(2, 4, training=True)
    features = bank.first_frame(torch.zeros(4, 1, 8, dtype=torch.float64))
    (tokens.memory.sum() + tokens.memory_pos.sum() + features.sum()).backward()
    # Slot 0 and the frame before are seen, the one in between is not; each by 4 tokens.
    assert bank.maskmem_tpos_enc.grad[:, 0, 0, 0].tolist() == [4, 0, 4]
    assert bank.no_obj_embed_spatial.grad.tolist() == [[4.0] * 4]
    assert bank.no_mem_embed.grad.tolist() == [[[4.0] * 8]]
    # Two pointers of two tokens each.
    assert bank.obj_ptr_tpos_proj.bias.grad.tolist() == [4.0] * 4
    assert (memory.grad == 3).all()
    assert (pointer.grad == 3).all()


def test_stored_frames_are_no_parameters() -> None:
    """A bank that has seen frames is saved like one that has not, and does not train on the caller's arrays."""
    config = make_config()
    parameters = draw_parameters(config)
    bank = accelerated.MemoryBank(config, parameters)
    bank.add(0, torch.zeros(1, 4, 2, 2), conditioning=True)
    assert set(bank.state_dict()) == set(parameters)
    with torch.no_grad():
        bank.maskmem_tpos_enc.zero_()
    assert parameters["maskmem_tpos_enc"].all()


def changed_in_place(bank: Any) -> None:
    bank.maskmem_tpos_enc.data.mul_(2)


def swapped(bank: Any) -> None:
    bank.maskmem_tpos_enc = torch.nn.Parameter(bank.maskmem_tpos_enc.detach() + 1)


@pytest.mark.parametrize("change", [changed_in_place, swapped, lambda bank: bank.float(), lambda bank: None])
def test_what_is_kept_from_frame_to_frame_follows_the_parameters(change: Callable[[Any], None]) -> None:
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config()))
    with torch.no_grad():
        for height, width in ((2, 2), (3, 1)):
            bank.clear()
            bank.add(0, torch.zeros(1, 4, height, width, dtype=torch.float64), conditioning=True)
            bank.add(2, torch.zeros(1, 4, height, width, dtype=torch.float64))
            bank.tokens(3, None)
            change(bank)
            own = reference.MemoryBank(
                make_config(), {name: value.detach().numpy() for name, value in bank.named_parameters()}
            )
            own.add(0, np.zeros((1, 4, height, width)), conditioning=True)
            own.add(2, np.zeros((1, 4, height, width)))
            expected = torch.from_numpy(own.tokens(3, None).memory_pos)
            torch.testing.assert_close(bank.tokens(3, None).memory_pos, expected, rtol=0, atol=1e-12)


def test_the_place_in_the_image_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    position = accelerated.memory_bank.kept_sine_encoding_2d
    position.cache_clear()
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config()))
    for frame in range(3):
        bank.add(frame, torch.zeros(1, 4, 2, 5, dtype=torch.float64), conditioning=frame == 0)
        bank.tokens(frame + 1, None)
    assert position.cache_info().misses == 1


def test_what_inference_kept_does_not_stand_in_the_way_of_training() -> None:
    accelerated.memory_bank.kept_sine_encoding_2d.cache_clear()
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config()))
    with torch.inference_mode():
        bank.add(0, torch.zeros(1, 4, 2, 2, dtype=torch.float64), conditioning=True)
        bank.tokens(1, None)
    bank.clear()
    bank.add(0, torch.zeros(1, 4, 2, 2, dtype=torch.float64), conditioning=True)
    bank.tokens(1, None).memory_pos.sum().backward()
    assert bank.maskmem_tpos_enc.grad.abs().sum() > 0
    with torch.no_grad():
        assert not bank.tokens(1, None).memory_pos.requires_grad


def test_stand_ins_for_tensors_are_not_kept() -> None:
    accelerated.memory_bank.kept_sine_encoding_2d.cache_clear()
    with FakeTensorMode():
        bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config(), "float32"))
        bank.add(0, torch.zeros(1, 4, 2, 2), conditioning=True)
        bank.tokens(1, None)
    assert accelerated.memory_bank.kept_sine_encoding_2d.cache_info().currsize == 0


def test_a_compiler_takes_the_tokens() -> None:
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config(), "float32"))
    bank.add(0, torch.zeros(1, 4, 2, 2), torch.zeros(1, 8), conditioning=True)
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(bank.tokens, backend="eager")(1, None)
        torch.testing.assert_close(compiled.memory_pos, bank.tokens(1, None).memory_pos)


def test_tokens_lie_batch_first_as_the_attention_takes_them() -> None:
    """So that nothing is copied once more for several objects."""
    bank = accelerated.MemoryBank(make_config(), draw_parameters(make_config(), "float32"))
    with torch.no_grad():
        bank.add(0, torch.zeros(3, 4, 2, 2), torch.zeros(3, 8), conditioning=True)
        assert bank.tokens(1, None).memory.transpose(0, 1).is_contiguous()
