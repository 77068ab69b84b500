"""Small random models of other programs, nothing in them at its default, and clips to run through them."""

import copy

import pytest
import torch
from torch import nn

import memory_attention as ma

SIDE, STRIDE = 96, 16
FRAMES = 5


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Draw every parameter, so that no norm is 1, no bias 0, and attention has contrast."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, max(1, parameter[0].numel()) ** -0.5, generator=generator)
            else:
                start = float((parameter == 1).all())
                parameter.normal_(start, 0.2, generator=generator)
    return model.eval()


def theta_settings(theta):
    """The rotation's base, as this version of `transformers` has it; early ones of 5 pass over the other name."""
    from transformers import Sam2VideoConfig

    if hasattr(Sam2VideoConfig(), "rope_parameters"):
        return {"rope_parameters": {"rope_type": "axial", "rope_theta": theta}}
    return {"memory_attention_rope_theta": theta, "rope_parameters": {"rope_theta": 7.0}}


def host_settings(**changes):
    """The memory attention's settings of a `Sam2VideoConfig`."""
    return {
        "memory_attention_hidden_size": 128,
        "memory_attention_num_layers": 2,
        "memory_attention_num_attention_heads": 2,
        "memory_attention_downsample_rate": 4,
        "memory_attention_feed_forward_hidden_size": 40,
        "memory_attention_feed_forward_hidden_act": "gelu",
        "memory_attention_dropout": 0.2,
        "memory_attention_rope_dropout": 0.3,
        "memory_attention_rope_feat_sizes": [SIDE // STRIDE, SIDE // STRIDE],
        **theta_settings(500.0),
        "memory_encoder_hidden_size": 128,
        **changes,
    }


def small_config(config_class, vision, **changes):
    """A config of one of the two trackers of `transformers`."""
    sam = {"hidden_size": 128, "image_size": SIDE, "patch_size": STRIDE, "mask_input_channels": 8}
    decoder = {"hidden_size": 128, "mlp_dim": 48, "num_attention_heads": 4, "iou_head_hidden_dim": 32}
    return config_class(
        vision_config=vision,
        prompt_encoder_config=sam,
        mask_decoder_config=decoder,
        image_size=SIDE,
        num_maskmem=3,
        max_object_pointers_in_encoder=3,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        **host_settings(**changes),
    )


def sam2_config(**changes):
    """A `Sam2VideoConfig`."""
    from transformers import Sam2VideoConfig

    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [8, 4, 4, 2],
        "global_attention_blocks": [3],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[SIDE // stride] * 2 for stride in (4, 8, STRIDE)],
        "fpn_hidden_size": 128,
    }
    return small_config(Sam2VideoConfig, vision, **changes)


def sam3_config(**changes):
    """A `Sam3TrackerVideoConfig`."""
    from transformers import Sam3TrackerVideoConfig

    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": STRIDE,
        "pretrain_image_size": SIDE,
        "window_size": 3,
        "global_attn_indexes": [1],
    }
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[SIDE // stride] * 2 for stride in (4, 8, STRIDE)],
        "scale_factors": [4.0, 2.0, 1.0, 0.5],
    }
    config = small_config(Sam3TrackerVideoConfig, vision)
    # Its image size sets the grid too, so what differs comes last.
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def sam2_model():
    """A small random `Sam2VideoModel`."""
    from transformers import Sam2VideoModel

    return randomise(Sam2VideoModel(sam2_config()), 7)


def sam3_model():
    """A small random `Sam3TrackerVideoModel`."""
    pytest.importorskip(
        "transformers.models.sam3.modeling_sam3", reason="SAM 3 of transformers 5.1 needs torchvision"
    )
    from transformers import Sam3TrackerVideoModel

    return randomise(Sam3TrackerVideoModel(sam3_config()), 6)


def track(model):
    """Mask logits of two objects, clicked in three frames: forwards, after a correction, and backwards."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    clip = torch.randn(FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    session = Sam2VideoInferenceSession(clip, SIDE, SIDE, dtype=torch.float32)

    def click(frame, *places):
        for name, place in places:
            index = session.obj_id_to_idx(name)
            labels = torch.ones(1, 1, 1, dtype=torch.int32)
            prompt = {"point_coords": torch.tensor([[[place]]]), "point_labels": labels}
            session.add_point_inputs(index, frame, prompt)
        session.obj_with_new_inputs = [name for name, _ in places]
        return model(session, frame_idx=frame).pred_masks

    masks = [click(0, (4, (20.0, 30.0)), (7, (70.0, 10.0))), click(3, (4, (30.0, 40.0)))]
    masks += [output.pred_masks for output in model.propagate_in_video_iterator(session)]
    masks.append(click(2, (7, (60.0, 12.0))))
    backwards = model.propagate_in_video_iterator(session, start_frame_idx=4, reverse=True)
    return masks + [output.pred_masks for output in backwards]


def frame_inputs(tokens, channels=128, objects=1, memories=2, pointers=3, seed=0, dtype=torch.float32):
    """A frame and its position, memories and theirs, and the number of pointer tokens."""
    generator = torch.Generator().manual_seed(seed)

    def draw(count, width):
        return torch.randn(count, objects, width, generator=generator).to(dtype)

    seen = memories * tokens + pointers
    return draw(tokens, channels), draw(seen, 64), draw(tokens, channels), draw(seen, 64), pointers


class Holder(nn.Module):
    """The least that holds a memory attention: it calls it as the host does."""

    def __init__(self, memory_attention):
        super().__init__()
        self.memory_attention = memory_attention

    def forward(self, curr, memory, curr_pos, memory_pos, pointers):
        return self.memory_attention(
            current_vision_features=curr,
            current_vision_position_embeddings=curr_pos,
            memory=memory,
            memory_posision_embeddings=memory_pos,
            num_object_pointer_tokens=pointers,
        )


def holder(host=None, make_config=sam2_config, **changes):
    """The host's memory attention with random weights, held as its model holds it; of SAM 2 without a `host`."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention

    config, host = make_config(**changes), host or Sam2VideoMemoryAttention
    config._attn_implementation = "sdpa"
    return Holder(randomise(host(config), 3))


def both(**changes):
    """The same model twice, the second with ours."""
    own = holder(**changes)
    return own, ma.accelerate(copy.deepcopy(own))


def wrong(result, truth):
    """The largest error, relative to the largest number."""
    return float((result - truth).detach().abs().max() / truth.detach().abs().max())


def check_refused_as_it_was(model, message):
    """`accelerate` refuses the model in these words, and every module of it is the one that it was."""
    whole, parts = model.memory_attention, list(model.modules())
    with pytest.raises(ValueError, match=message):
        ma.accelerate(model)
    assert model.memory_attention is whole
    assert list(model.modules()) == parts
