"""Whose memories they are: SAM 2's rules, checked against what the host keeps, and a fork that chooses others."""

import pytest
import torch
from PIL import Image

import memory_attention as ma
from attention_truth import left_behind, weights_of
from hosts import frame_inputs, randomise
from memory_attention.tolerances import bound
from sam2_stand_ins import Predictor, build

TOKENS, CHANNELS = 28, 64


class Gatherer(Predictor):
    """Gathers memories as SAM 2 does it, but chooses them by a list: as a fork might."""

    num_maskmem, max_obj_ptrs_in_encoder, max_cond_frames_in_attn = 4, 3, -1
    use_obj_ptrs_in_encoder = only_obj_ptrs_in_the_past_for_eval = True
    chosen, pointed, changed = (), (), 0.0

    def _prepare_memory_conditioned_features(
        self,
        frame_idx,
        is_init_cond_frame,
        current_vision_feats,
        current_vision_pos_embeds,
        feat_sizes,
        output_dict,
        num_frames,
        track_in_reverse=False,
    ):
        outputs = {**output_dict["non_cond_frame_outputs"], **output_dict["cond_frame_outputs"]}
        memory = [outputs[number]["maskmem_features"].flatten(2).permute(2, 0, 1) for number in self.chosen]
        pointers = [outputs[number]["obj_ptr"].reshape(1, 2, CHANNELS).transpose(0, 1) for number in self.pointed]
        memory = torch.cat([*memory, *pointers]).float() + self.changed
        return self(*current_vision_feats, memory, *current_vision_pos_embeds, 0.1 * memory, 2 * len(pointers))


def outputs(frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        number: {
            "maskmem_features": torch.randn(1, CHANNELS, 4, 7, generator=generator).bfloat16(),
            "obj_ptr": torch.randn(1, 2 * CHANNELS, generator=generator),
            "pred_masks": torch.full((1, 1, 8, 14), -1.0),
        }
        for number in frames
    }


@pytest.fixture
def gatherer():
    torch.manual_seed(5)
    return Gatherer(randomise(build(), 4).memory_attention).eval()


def recorded(model, chosen, pointed, kept=None, queries=(3,), **more):
    """The look of frame 6, where 5 and 0 were prompted, in that order, and the rest was tracked."""
    kept = kept or {
        "cond_frame_outputs": outputs((5, 0)),
        "non_cond_frame_outputs": outputs((1, 2, 3, 4, 7, 8), 1),
    }
    curr, _, curr_pos, _, _ = frame_inputs(TOKENS)
    model.chosen, model.pointed = chosen, pointed
    with torch.no_grad(), ma.record(model, queries) as recording:
        model._prepare_memory_conditioned_features(6, False, [curr], [curr_pos], [(4, 7)], kept, 9, **more)
    (look,) = recording.looks
    assert (look.frame, look.frame_known) == (6, True)
    return look


def test_sam2s_own_choice(gatherer):
    gatherer.chosen = gatherer.pointed = ()
    before = left_behind(gatherer)
    look = recorded(gatherer, (5, 0, 3, 4), (5, 0, 4))
    assert (look.memory_frames, look.pointer_frames, look.prompted) == ((5, 0, 3, 4), (5, 0, 4), (0, 5))
    assert not look.backwards
    look = recorded(gatherer, (5, 0, 8, 7), (7, 8), track_in_reverse=True)
    assert (look.memory_frames, look.pointer_frames) == ((5, 0, 8, 7), (7, 8))
    assert look.backwards
    assert left_behind(gatherer) == before


def test_a_forks_choice_is_known_by_its_memories(gatherer):
    """As many as SAM 2 would take, but other ones; and fewer."""
    look = recorded(gatherer, (0, 8, 1, 2), (2, 0, 5))
    assert (look.memory_frames, look.pointer_frames, look.prompted) == ((0, 8, 1, 2), (2, 0, 5), (0, 5))
    look = recorded(gatherer, (4,), (3,))
    assert (look.memory_frames, look.pointer_frames, look.prompted) == ((4,), (3,), ())


def test_what_was_changed_on_the_way_is_unknown(gatherer):
    gatherer.changed = 0.5
    look = recorded(gatherer, (5, 0, 3, 4), (5, 0, 4))
    assert (look.memory_frames, look.pointer_frames, look.prompted) == (None, None, ())


def test_of_two_equal_memories_the_rules_say_which(gatherer):
    """A video that stands still: what cannot be told apart is SAM 2's choice, or unknown."""
    kept = {"cond_frame_outputs": outputs((5, 0)), "non_cond_frame_outputs": outputs((1, 2, 3, 4, 7, 8), 1)}
    kept["non_cond_frame_outputs"][2] = kept["non_cond_frame_outputs"][3]
    look = recorded(gatherer, (5, 0, 3, 4), (5, 0, 4), kept)
    assert look.memory_frames == (5, 0, 3, 4)
    kept["non_cond_frame_outputs"][1] = kept["non_cond_frame_outputs"][8]
    look = recorded(gatherer, (5, 0, 8, 7), (7, 8), kept, track_in_reverse=True)
    assert look.memory_frames == (5, 0, 8, 7)
    look = recorded(gatherer, (2, 4), (4,), kept)
    assert (look.memory_frames, look.pointer_frames) == (None, None)


@pytest.mark.parametrize(("backwards", "found"), [(False, 3), (True, 8)])
def test_the_mask_found_last_in_the_direction_of_tracking(gatherer, backwards, found):
    """Frame 6 itself may have been tracked before, and 4 and 7 found nothing."""
    kept = {"cond_frame_outputs": outputs((5, 0)), "non_cond_frame_outputs": outputs((1, 2, 3, 4, 6, 7, 8), 1)}
    for number, row in ((1, 0), (3, 2), (6, 4), (8, 6)):
        kept["non_cond_frame_outputs"][number]["pred_masks"][0, 0, row : row + 2, 4:8] = 1.0
    look = recorded(gatherer, (5,), (), kept, "found", track_in_reverse=backwards)
    row = {3: 1, 8: 3}[found]
    assert look.queries.tolist() == [7 * row + 2, 7 * row + 3]


@pytest.mark.parametrize("wrong", [{"max_cond_frames_in_attn": 1}, {"num_maskmem": "many"}])
def test_settings_that_are_not_sam2s_are_no_error(gatherer, wrong):
    vars(gatherer).update(wrong)
    curr, _, curr_pos, _, _ = frame_inputs(TOKENS)
    gatherer.chosen = (5,)
    kept = {"cond_frame_outputs": outputs((5,)), "non_cond_frame_outputs": {}}
    with torch.no_grad(), ma.record(gatherer, 3) as recording:
        gatherer._prepare_memory_conditioned_features(6, False, [curr], [curr_pos], [(4, 7)], kept, 9)
    assert (recording.looks[0].frame, recording.looks[0].frame_known) == (0, False)


def test_somebodys_own_method_comes_back(gatherer):
    def own(*args, **kwargs):
        return Gatherer._prepare_memory_conditioned_features(gatherer, *args, **kwargs)

    gatherer._prepare_memory_conditioned_features = own
    with ma.record(gatherer, 3):
        assert gatherer._prepare_memory_conditioned_features is not own
    assert gatherer._prepare_memory_conditioned_features is own


def test_sam2_itself(tmp_path):
    """Its own video predictor with random weights: objects by their names, forwards and backwards."""
    pytest.importorskip("iopath", reason="SAM 2's own needs are not installed")
    build_sam = pytest.importorskip("sam2.build_sam", reason="SAM 2 is not installed")
    small = ["++model.image_size=64", "++model.num_maskmem=3"]
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    options = {"device": "cpu", "hydra_overrides_extra": small, "apply_postprocessing": False}
    model = randomise(build_sam.build_sam2_video_predictor(config, **options), 4)
    pixels = torch.randint(256, (4, 64, 64, 3), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    for index, frame in enumerate(pixels.numpy()):
        Image.fromarray(frame).save(tmp_path / f"{index}.jpg")
    before = left_behind(model)
    with weights_of(model) as weights, ma.record(model, [5, 3], layers=[0, -1]) as recording:
        state = model.init_state(str(tmp_path))
        for frame, name, place in ((0, 3, (20.0, 30.0)), (0, 5, (50.0, 9.0)), (2, 3, (25.0, 40.0))):
            model.add_new_points_or_box(state, frame, name, points=[place], labels=[1])
        list(model.propagate_in_video(state))
        list(model.propagate_in_video(state, start_frame_idx=2, reverse=True))
    assert left_behind(model) == before
    assert [(look.frame, look.object, look.memory_frames, look.pointer_frames) for look in recording.looks] == [
        (1, "3", (0, 2), (0,)),
        (1, "5", (0,), (0,)),
        (2, "5", (0, 1), (0, 1)),
        (3, "3", (0, 2, 1), (0, 2, 1)),
        (3, "5", (0, 1, 2), (0, 2, 1)),
        (2, "5", (0, 3), (3,)),
        (1, "3", (0, 2, 3), (2, 3)),
        (1, "5", (0, 3, 2), (2, 3)),
    ]
    for index, look in enumerate(recording.looks):
        for layer in (0, 3):
            truth = weights[4 * index + layer][0][:, [5, 3]]
            assert abs(look.rows["cross", layer] - truth).max() <= bound("float32", 20.0)
