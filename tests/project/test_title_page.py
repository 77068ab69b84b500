"""The title page of the reference says what the configs, the rules and the code say: each figure and each name."""

import functools
import re

import numpy as np
import pytest
from title_page import PAGE, ROOM, cells_under, code_in, table

import memory_attention as ma
from memory_attention.configs import MemoryAttentionConfig, bank_parameter_shapes
from memory_attention.rules.frame_choice import memory_frames, pointer_frames, pointer_reach

COLUMNS = {
    "SAM 2 and 2.1": "sam2.1_hiera_t",
    "`sam3_tracker`": "sam3_tracker",
    "`tracker`": "tracker",
    "`tiny`": "tiny",
}
FRAME = 20

config_of = functools.cache(ma.load_config)


def reading_order():
    """The steps by the number in their first line, which says the rest of the row too."""
    rows = []
    for path in sorted(ROOM.glob("*.py")):
        step = re.match(r'"""Step (\d): (.*)"""', path.read_text(encoding="utf-8").splitlines()[0])
        if step:
            rows.append((step[1], f"[`{path.name}`]({path.name})", step[2][0].upper() + step[2][1:]))
    return table(["Step", "File", "What it says"], sorted(rows))


def seen(config, frame):
    """Frame and slot, then frame and distance, of what a frame sees of a video prompted on frame 0."""
    past, bank = range(frame), config.memory_bank
    return memory_frames(frame, [0], past, bank), pointer_frames(frame, frame + 1, [0], past, bank)


def memory_tokens(config):
    """M, once the bank is full."""
    memories, pointers = seen(config, 1000)
    height, width = config.grid
    return len(memories) * height * width + len(pointers) * config.num_pointer_tokens


def sizes():
    def row(label, size):
        return [label, *(size(config_of(name)) for name in COLUMNS.values())]

    def attention(config):
        return config.memory_attention.layer.cross_attention

    return table(
        ["", *COLUMNS],
        [
            row("image, pixels; stride", lambda c: f"{c.image_size}; {c.backbone_stride}"),
            row("grid h × w: N tokens of a frame", lambda c: f"{c.grid[0]} × {c.grid[1]}: {np.prod(c.grid)}"),
            row("C, channels of a frame's token", lambda c: c.memory_attention.d_model),
            row("C_m, channels of a memory's token", lambda c: c.memory_attention.memory_dim),
            row("layers", lambda c: c.memory_attention.num_layers),
            row("heads H × channels d of each", lambda c: f"{attention(c).num_heads} × {attention(c).head_dim}"),
            row("`rope_theta`", lambda c: f"{attention(c).rope_theta:.0f}"),
            row("feed-forward, hidden channels", lambda c: c.memory_attention.layer.dim_feedforward),
            row("memories: prompted + recent", lambda c: f"1 + {c.memory_bank.num_maskmem - 1}"),
            row("P, object pointers", lambda c: c.memory_bank.max_obj_ptrs_in_encoder),
            row("tokens of one pointer, C / C_m", lambda c: c.num_pointer_tokens),
            row("M, tokens of memory", memory_tokens),
            row(
                "parameters, without the bank's",
                lambda c: f"{sum(map(np.prod, ma.parameter_shapes(c).values())):,}",
            ),
        ],
    )


def encodings():
    layer = config_of("sam2.1_hiera_t").memory_attention.layer

    def tokens(name, position, added, rotary):
        return f"`{name}{f' + {position}' if added else ''}`{', rotated' if rotary else ', not rotated'}"

    own, cross = layer.self_attention.rotary, layer.cross_attention.rotary
    current = tokens("norm1(x)", "curr_pos", layer.pos_enc_at_attn, own)
    query = tokens("norm2(x)", "curr_pos", layer.pos_enc_at_cross_attn_queries, cross)
    key = tokens("memory", "memory_pos", layer.pos_enc_at_cross_attn_keys, cross)
    pointer = tokens("memory", "memory_pos", layer.pos_enc_at_cross_attn_keys, False)
    return table(
        ["", "Query", "Key", "Value"],
        [
            ["self-attention", current, current, "`norm1(x)`"],
            ["cross-attention, at memories", query, key, "`memory`"],
            ["cross-attention, at pointers", query, pointer, "`memory`"],
        ],
    )


def weights_of_a_layer():
    """The weights of one layer; those of one part that have the same shape are one line."""
    shapes, prefix = ma.parameter_shapes(config_of("sam2.1_hiera_t")), "memory_attention.layers.0."
    own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    lines = {}
    for name, shape in own.items():
        if name.endswith(".weight"):
            part = "norms" if len(shape) == 1 else name.split(".")[0]
            lines.setdefault((part, shape), []).append(name.removesuffix(".weight"))
    rows = []
    for (_, shape), names in lines.items():
        count = sum(np.prod(own[f"{name}.{part}"]) for name in names for part in ("weight", "bias"))
        rows.append([", ".join(f"`{name}`" for name in names), list(shape), f"{count:,}"])
    rows.append(["all", "", f"{sum(map(np.prod, own.values())):,}"])
    return table(["Weight", "Shape", "Numbers, with biases"], rows)


def all_layers():
    config = config_of("sam2.1_hiera_t").memory_attention
    counts = {name: np.prod(shape) for name, shape in ma.parameter_shapes(config_of("sam2.1_hiera_t")).items()}
    layer = sum(count for name, count in counts.items() if name.startswith("memory_attention.layers.0."))
    norm = sum(count for name, count in counts.items() if name.startswith("memory_attention.norm."))
    return f"last norm: {config.num_layers} · {layer:,} + {norm:,} = {sum(counts.values()):,}."


def frames():
    """Which frame is seen as what by one frame; frames in a row that are seen as pointers alone are one line."""
    config = config_of("sam2.1_hiera_t")
    bank = config.memory_bank
    memories, pointers = map(dict, seen(config, FRAME))
    reach = pointer_reach(FRAME + 1, bank) - 1

    def pointer(number):
        return f"{pointers[number]} / {reach}" if number in pointers else ""

    rows, number = [], 0
    while number < FRAME:
        first = number
        if number in memories:
            entry = bank.num_maskmem - memories[number] - 1
            last = " (the last)" if entry == bank.num_maskmem - 1 else ""
            name = f"{number}{', prompted' if number == 0 else ''}"
            rows.append([name, FRAME - number, memories[number], f"{entry}{last}", pointer(number)])
        else:
            while number + 1 not in memories and (number + 1 in pointers) == (first in pointers):
                number += 1
            ages = f"{FRAME - first} … {FRAME - number}"
            times = f"{pointer(first)} … {pointer(number)}" if first in pointers else ""
            rows.append([f"{first} … {number}", ages, "", "", times])
        number += 1
    header = ["Frame", "Age", "Slot t", "Entry of `maskmem_tpos_enc`", "Pointer, age / (P − 1)"]
    return table(header, rows)


def early_frames():
    """What the second frame sees, and from which frames on everything is full."""
    config = config_of("sam2.1_hiera_t")
    tokens, pointer = np.prod(config.grid), config.num_pointer_tokens
    bank = config.memory_bank
    most = (bank.num_maskmem, bank.max_obj_ptrs_in_encoder)
    full = [next(f for f in range(1, 99) if len(seen(config, f)[kind]) == most[kind]) for kind in (0, 1)]
    assert [[frame for frame, _ in kind] for kind in seen(config, 1)] == [[0], [0]]
    return (
        f"Frame 1 sees frame 0 alone: {tokens} + {pointer} = {tokens + pointer} tokens. "
        f"All memories are seen from frame {full[0]} on, all pointers from frame {full[1]} on."
    )


def order_of_tokens():
    memories, pointers = map(list, map(dict, seen(config_of("sam2.1_hiera_t"), FRAME)))
    return (
        f"first the memories of the frames {memories[0]}, {memories[1]}, {memories[2]}, … {memories[-1]}, "
        f"then the pointers of the frames {pointers[0]}, {pointers[1]}, {pointers[2]}, … {pointers[-1]}"
    )


TABLES = (reading_order, sizes, encodings, weights_of_a_layer, frames)
SENTENCES = (all_layers, early_frames, order_of_tokens)


@pytest.mark.parametrize("made", TABLES)
def test_the_tables_are_those_of_configs_and_rules(made):
    assert made() in PAGE


@pytest.mark.parametrize("made", SENTENCES)
def test_the_sentences_are_those_of_configs_and_rules(made):
    assert made() in " ".join(PAGE.split())


def test_where_encodings_are_added_is_set_as_in_every_model():
    rows = cells_under("## Which encoding goes where", number=2)
    networks = [config_of(name).memory_attention for name in COLUMNS.values()]
    for name, value, _ in rows:
        nodes = [network if hasattr(network, *code_in(name)) else network.layer for network in networks]
        assert {str(getattr(node, *code_in(name))).lower() for node in nodes} == {value}, name


def test_every_step_is_there_once():
    assert [row[0] for row in cells_under("## In which order to read")] == list("123456789")


def test_the_eight_models_of_a_column_are_one_network():
    names = [name for name in ma.available_configs() if name.startswith("sam2")]
    assert len(names) == 8
    networks = {config_of(name).memory_attention.model_dump_json() for name in names}
    assert networks == {MemoryAttentionConfig().model_dump_json()}
    banks = {(name.split("_")[0], config_of(name).memory_bank.model_dump_json()) for name in names}
    assert len(banks) == 2


def test_in_every_model_of_the_table_the_first_frame_skips_the_attention():
    assert all(config_of(name).memory_bank.directly_add_no_mem_embed for name in COLUMNS.values())


def test_what_sam_2_1_changed_is_all_that_it_changed():
    old, new = (config_of(name) for name in ("sam2_hiera_t", "sam2.1_hiera_t"))
    before, after = old.memory_bank.model_dump(), new.memory_bank.model_dump()
    changed = [[f"`{key}`", str(before[key]), str(after[key])] for key in before if before[key] != after[key]]
    rows = cells_under("## What SAM 2.1 changed")
    assert [[row[0], row[1].title(), row[2].title()] for row in rows] == changed
    assert old.with_changes(name=new.name, memory_bank=new.memory_bank) == new
    added = bank_parameter_shapes(new).keys() - bank_parameter_shapes(old).keys()
    assert {name for name in added if f"`{name.split('.')[0]}`" in PAGE} == added


def test_no_figure_stands_outside_what_is_checked():
    """Beside what is generated: those of names, of papers and of shapes, which have their own tests."""
    text = " ".join(PAGE.split())
    text = text.replace("0.1 · curr_pos", "").replace(f"frame {FRAME}", "")
    for made in TABLES + SENTENCES:
        text = text.replace(" ".join(made().split()), "")
    code = r"```.*?```|`[^`]*`|\]\([^)]*\)"
    names = r"SAM [23](\.[01])?|arXiv:\S+|[12]-D|section 4|frame 0|\| \[[\d, ]+\] \|"
    text = re.sub(f"{code}|{names}", "", text)
    assert re.findall(r"\d+(?:\.\d+)?", text) == []


def test_the_links_are_there():
    targets = re.findall(r"\]\((?!http)([^)]+)\)", PAGE)
    assert targets
    for target in targets:
        assert (ROOM / target).exists(), target
