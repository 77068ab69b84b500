"""`transformers` builds our memory attention by itself, through its patch mapping."""

import pytest
import torch

import memory_attention as ma
from hosts import Holder, frame_inputs, sam2_model, sam3_config, wrong
from memory_attention.accelerated import MemoryAttention
from memory_attention.integrations import register, unregister
from memory_attention.tolerances import bound

pytest.importorskip("transformers", reason="the host is an optional dependency")
pytest.importorskip("transformers.monkey_patching", reason="transformers 5.0 has no patch mapping yet")

from transformers import Sam2VideoModel, Sam3TrackerVideoModel
from transformers.models.sam2_video import modeling_sam2_video as sam2
from transformers.models.sam3_tracker_video import modeling_sam3_tracker_video as sam3
from transformers.monkey_patching import get_patch_mapping

REACH = 20.0
"""More than the largest logit of these models' attentions."""


@pytest.fixture
def registered():
    register()
    yield
    unregister()


def test_the_host_loads_ours(tmp_path, registered):
    model = sam2_model()
    model.save_pretrained(tmp_path)
    loaded = Sam2VideoModel.from_pretrained(tmp_path).eval()
    assert isinstance(loaded.memory_attention, MemoryAttention)
    assert isinstance(loaded.memory_attention, sam2.Sam2VideoMemoryAttention)
    assert list(loaded.state_dict()) == list(model.state_dict())
    inputs = frame_inputs(36)
    truth = Holder(model.memory_attention)(*inputs)
    assert wrong(Holder(loaded.memory_attention)(*inputs), truth) <= bound("float32", REACH)
    assert not torch.equal(Holder(loaded.memory_attention)(*inputs), truth)
    ma.restore(loaded)
    assert type(loaded.memory_attention) is sam2.Sam2VideoMemoryAttention
    assert torch.equal(Holder(loaded.memory_attention)(*inputs), truth)
    with pytest.raises(ValueError, match="already"):
        register()


def test_the_host_builds_ours_from_a_config(registered):
    model = Sam3TrackerVideoModel._from_config(sam3_config()).eval()
    assert isinstance(model.memory_attention, MemoryAttention)
    assert isinstance(model.memory_attention, sam3.Sam3TrackerVideoMemoryAttention)
    inputs = frame_inputs(36)
    result = Holder(model.memory_attention)(*inputs)
    ma.restore(model)
    assert wrong(result, Holder(model.memory_attention)(*inputs)) <= bound("float32", REACH)


def test_the_host_builds_its_own_again():
    register()
    unregister()
    assert get_patch_mapping() == {}
    with pytest.raises(ValueError, match="not found"):
        unregister()
