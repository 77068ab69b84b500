# %% [markdown]
# # The memory bank
#
# The memory attention looks at whatever it is given. *What* it is given is the business of the memory bank: which
# past frames are kept, in which order they are listed, how each is marked with its age. This notebook draws which
# frames are chosen, measures who of them is looked at in a trained tracker, and then takes the bank apart: fewer
# memories, no pointers, no sense of time.
#
# The only thing to change is the next line: `"reference"` computes in NumPy, `"accelerated"` in PyTorch.

# %%
BACKEND = "reference"

# %%
import matplotlib.pyplot as plt
import numpy as np

import memory_attention as ma
from memory_attention.attention_map import attention_rows
from memory_attention.configs import load_config
from memory_attention.rules.frame_choice import memory_frames, pointer_frames
from memory_attention.tracker import Tracker, read_tracker
from memory_attention.tracker.evaluation import held_out_clip, iou
from memory_attention.tracker.plots import object_cells

plt.rcParams |= {"figure.dpi": 90, "font.size": 10, "figure.constrained_layout.use": True}
BLUE, SKY, ORANGE, GREEN, GREY = "#0072b2", "#56b4e9", "#d55e00", "#009e73", "0.6"

# %% [markdown]
# ## Which frames are chosen
#
# Frames that the user prompted before they were tracked are *conditioning* frames; all others were only tracked. (What a
# [later correction](../reference/README.md#which-frame-has-which-slot) is, is set apart.) The frame $f$ sees
#
# - **all conditioning frames**, at slot 0 (or the nearest few of them, where `max_cond_frames_in_attn` sets a
#   limit);
# - **recent frames**, at the slots $t = 1$ (oldest) to `num_maskmem` $- 1$ (newest). The newest is always $f - 1$.
#   The others are $f - 2$, $f - 3$ and so on; or, with a `memory_temporal_stride_for_eval` of $r$, the frames whose
#   number is a multiple of $r$, from $f - 2$ down;
# - **object pointers** of the conditioning frames that it sees, however many, and of the frames $f - 1$ to
#   $f - 15$. A pointer is a single vector, so many of them cost little.
#
# Here is what frame 24 of a video sees with SAM 2.1's settings, with a stride of 3, and with three prompted frames
# of which two may be chosen. The numbers in the squares are the slots.

# %%
sam2 = load_config("sam2.1_hiera_t").memory_bank
f = 24
cases = {
    "SAM 2.1, prompt at 0": (sam2, (0,)),
    "the same, stride 3": (sam2.model_copy(update={"memory_temporal_stride_for_eval": 3}), (0,)),
    "prompts at 0, 9, 16;\nat most two of them": (
        sam2.model_copy(update={"max_cond_frames_in_attn": 2}),
        (0, 9, 16),
    ),
}

figure, axis = plt.subplots(figsize=(12, 3.6))
for line, (settings, conditioning) in enumerate(cases.values()):
    past = range(f)
    memories = memory_frames(f, conditioning, past, settings)
    pointers = pointer_frames(f, None, conditioning, past, settings)
    axis.scatter(past, [line] * f, marker="s", s=300, color="0.92")
    for number, slot in memories:
        axis.scatter(number, line, marker="s", s=300, color=BLUE if slot else ORANGE)
        axis.text(number, line, slot, color="white", ha="center", va="center", fontsize=10, weight="bold")
    axis.scatter([number for number, _ in pointers], [line + 0.36] * len(pointers), marker="^", s=36, color=GREEN)
    axis.scatter(f, line, marker="s", s=300, facecolor="none", edgecolor="black")
    axis.text(f, line, "f", ha="center", va="center")
axis.scatter([], [], marker="s", s=120, color=ORANGE, label="memory of a conditioning frame")
axis.scatter([], [], marker="s", s=120, color=BLUE, label="memory of a recent frame, with its slot")
axis.scatter([], [], marker="^", s=36, color=GREEN, label="object pointer")
axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
axis.set_yticks(range(len(cases)), list(cases))
axis.set_ylim(len(cases) - 0.4, -0.5)
axis.set_xticks(range(0, f + 1, 3))
axis.set_xlabel("frame of the video")
for side in ("top", "right", "left"):
    axis.spines[side].set_visible(False)
plt.show()
reaches = [
    f - min(number for number, slot in memory_frames(f, conditioning, range(f), settings) if slot)
    for settings, conditioning in cases.values()
]
print(f"Found: six recent memories reach back {reaches[0]} frames, and {reaches[1]} with a stride of 3.")

# %% [markdown]
# *Why is $f - 1$ kept, whatever the stride?* Known: SAM 2's code always takes it, and names XMem and Cutie for the
# stride; the paper's account of the bank (section 4) has no stride. Reasonable: the frame before resembles the
# present most, and the multiples of $r$ alone would leave the newest memory up to $r$ frames old.
#
# *Several prompted frames.* SAM 2's released configs set no limit: every one is seen. SAM 3's tracker sets four.
# Under a limit the nearest one before $f$ is taken first, then the nearest at or after it, then whichever of the rest
# are nearest on either side. One that is not chosen is seen at most as a frame that was merely tracked would be: its
# memory where a slot of the recent frames falls on it, its pointer up to fifteen frames later.
#
# *Can a frame see the future?* Tracked frames come one at a time, and see only what was tracked before them. A
# *prompted* frame is another matter: its mask comes from the prompt, and all such frames are encoded before
# tracking starts ("from the future" is the paper's word, section 4). Whoever prompts the frames 0 and 60 and then
# tracks from 0 lets frame 5 see the memory of frame 60, at slot 0 like that of frame 0. Its pointer is left out
# until frame 60 is reached (`only_obj_ptrs_in_the_past_for_eval`): one from far ahead, says a comment in the code,
# might distract from how the video begins. In a stream that is prompted as it comes there is no such frame.
#
# *Backwards* the rules are the same with $f + 1$ for $f - 1$: the "recent" frames are those that were just tracked,
# and lie after $f$. Ages are counted in the direction of tracking, so that the memory tracked last has entry 0 of
# `maskmem_tpos_enc`, and its pointer has age $+1$, either way. A negative age is a prompted frame that tracking has
# yet to reach, not a direction. Nothing tells the model which way time runs; in training, half of the sequences were
# reversed to make it do well both ways (paper, appendix C.2.2).
#
# The choice once more, for the small tracker that we are about to measure and for every frame of a clip: a row shows
# what one frame sees. The prompted frame stays for good; the recent ones pass through the slots like through a pipe.

# %%
config, weights, made_by = read_tracker()
bank = config.memory_bank
length = 16
figure, axis = plt.subplots(figsize=(5.6, 4.6))
for number in range(1, length):
    past = range(number)
    for other, _ in pointer_frames(number, None, (0,), past, bank):
        axis.scatter(other, number, marker="s", s=110, facecolor="none", edgecolor=GREEN, linewidth=1.5)
    for other, slot in memory_frames(number, (0,), past, bank):
        axis.scatter(
            other, number, marker="s", s=110, color=BLUE if slot else ORANGE, edgecolor=GREEN, linewidth=1.5
        )
        axis.text(other, number, slot, color="white", ha="center", va="center", fontsize=8)
axis.set_xlabel("remembered frame")
axis.set_ylabel("current frame")
axis.set_xticks(range(0, length, 2))
axis.set_yticks(range(1, length, 2))
axis.invert_yaxis()
axis.set_title("filled: memory with its slot; green outline: object pointer", fontsize=10)
plt.show()
print(
    f"Found: a frame sees {bank.num_maskmem} memories at most, one prompted and {bank.num_maskmem - 1} recent; "
    f"pointers reach back {bank.max_obj_ptrs_in_encoder - 1} frames."
)

# %% [markdown]
# ## Where a memory and a pointer come from, and what the first frame does
#
# Each frame gives both, once it has its mask. The *memory encoder* makes the memory of the frame's features and
# the mask; the *pointer* is an output token of the mask decoder, after a small network. Features go into the
# memory as they were *before* the memory attention, so what was remembered is not remembered again and again.
#
# What does that cost to keep? SAM 2 stores memories in bfloat16, so one of 4096 tokens of 64 channels takes 512 KiB,
# the seven that a frame sees 3.5 MiB, for every object. A pointer is 256 numbers. SAM 2's video predictor also keeps a
# frame's mask, 256 × 256 logits in float32, and drops nothing before the object is removed or all is reset: what has left
# the slots is looked at no more, but stays, some 0.75 MiB for each object and frame. (The paper, section 4, speaks of queues
# that drop the oldest.) Here `MemoryBank.forget` drops what no later frame can see.
#
# A prompted first frame has nothing to look at. It skips the memory attention, and one learned vector,
# `no_mem_embed`, is added to each of its tokens: "nothing is remembered yet" ([all
# cases](../reference/README.md#what-the-first-frame-does)). The tracker here is prompted by masks and takes them
# for the answer, so in it this vector goes only into the prompted frame's pointer; SAM 2, prompted by a mask,
# leaves it out even there. An object that is *not in sight* is remembered too: its mask is empty, and
# `no_obj_embed_spatial`, another learned vector, is added to every token of that memory.
# Here is how long these vectors have become in the tracker, beside what they are added to.

# %%
tracker = Tracker(config, weights, BACKEND)
clip = held_out_clip(0, 4)
first, *later = tracker.follow(clip.frames, clip.masks[:1, 0])
features = np.asarray(later[0].seen.curr)
of_the_first = np.asarray(later[0].seen.memory)[: config.grid[0] * config.grid[1]]
for name, tokens_beside in (("no_mem_embed", features), ("no_obj_embed_spatial", of_the_first)):
    length, beside = (
        np.median(np.linalg.norm(np.asarray(each), axis=-1)) for each in (weights[name], tokens_beside)
    )
    print(
        f"Found: {name} is {length:.2f} long, a token that it is added to {beside:.2f}: {length / beside:.0%} of it."
    )
print("the first frame looked at:", first.seen)

# %% [markdown]
# ## What SAM 2.1 changed
#
# Nothing in the network, but four settings of the bank, and the weights. The two configs, compared:

# %%
old, new = (load_config(name).memory_bank.model_dump() for name in ("sam2_hiera_t", "sam2.1_hiera_t"))
print(f"{'':35}{'2.0':>7}{'2.1':>7}")
for setting in new:
    if old[setting] != new[setting]:
        print(f"{setting:35}{old[setting]!s:>7}{new[setting]!s:>7}")
added = ma.load("sam2.1_hiera_t").weights.keys() - ma.load("sam2_hiera_t").weights.keys()
print("Found: weights that only 2.1 has:", ", ".join(sorted(added)) + ".")

# %% [markdown]
# ## From slots to tokens
#
# A memory is a small image; its tokens are listed row by row, one memory after the other. To each token's key is
# added *where* it is in the image (a sine encoding, the subject of notebook 02) and *when* it was made: a learned
# vector for the slot, `maskmem_tpos_enc[num_maskmem − t − 1]`. So the first entry belongs to the frame just
# before, the next one to the frame before that, and the last entry to the prompted frames, however old they are.
# The network can tell "prompted" from "recent", and the ages of the recent ones, by these few vectors alone.
#
# A pointer has no slot: its age, divided by the largest that a pointer may have, is encoded by sines and projected.
# Side by side, for one frame of the tracker:

# %%
f = 12
slots = dict(memory_frames(f, (0,), range(f), bank))
pointer_ages = dict(pointer_frames(f, None, (0,), range(f), bank))
reach = bank.max_obj_ptrs_in_encoder - 1
print(f"what frame {f} sees\n\nframe   age   slot t   entry of maskmem_tpos_enc   pointer's age / largest")
for number in sorted(slots | pointer_ages):
    slot = slots.get(number, "")
    entry = "" if slot == "" else bank.num_maskmem - slot - 1
    pointer = f"{pointer_ages[number]} / {reach}" if number in pointer_ages else ""
    print(f"{number:5}{f - number:6}{slot:>9}{entry:>28}{pointer:>26}")

# %% [markdown]
# Slots count up from the oldest recent frame, entries from the newest one, and the prompted frame has slot 0 and the
# *last* entry whatever its age. (For SAM 2.1 there is [the same
# table](../reference/README.md#which-frame-has-which-slot).)
#
# Below is how similar the vectors have become in training: the cosine of the angle between each two.

# %%
time = weights["maskmem_tpos_enc"][:, 0, 0]
lengths = np.linalg.norm(time, axis=1)
cosine = time @ time.T / np.outer(lengths, lengths)
ages = [f"{age} before" for age in range(1, len(time))] + ["prompted"]

figure, axis = plt.subplots(figsize=(5, 3.8))
image = axis.imshow(cosine, cmap="RdBu_r", vmin=-1, vmax=1)
for (i, j), value in np.ndenumerate(cosine):
    axis.text(
        j, i, f"{value:.2f}", ha="center", va="center", color="black" if abs(value) < 0.6 else "white", fontsize=9
    )
axis.set_xticks(range(len(ages)), ages, rotation=30, ha="right")
axis.set_yticks(range(len(ages)), ages)
figure.colorbar(image, ax=axis, label="cosine")
plt.show()
print("lengths:", ", ".join(f"{age} {one:.2f}" for age, one in zip(ages, lengths, strict=True)))
print(
    f"Found: the prompted frame's vector is the {'longest' if lengths.argmax() == len(time) - 1 else 'last, not the longest'}, "
    f"and its cosine with the newest frame's is {cosine[-1, 0]:+.2f}: the two are told apart."
)

# %% [markdown]
# ## Who gets attended
#
# We track the first ten held-out clips and take every frame at which the bank is full. In each we average the
# softmax rows of the queries on the target (by the true mask) and add them up by memory. If all tokens were looked
# at alike, every memory would get the same share: the dashed line.

# %%
FRAMES, CLIPS = 10, 10
clips = [held_out_clip(index, FRAMES) for index in range(CLIPS)]
videos = np.stack([clip.frames for clip in clips], axis=1)
truth = np.stack([clip.masks[:, 0] for clip in clips], axis=1)
groups = np.split(np.arange(CLIPS), 2)  # a few clips at a time are tracked as one batch


def follow(tracker):
    # The steps of each group of clips.
    for group in groups:
        yield group, list(tracker.follow_batch(videos[:, group], truth[0, group].astype(np.float32)))


def mean_ious(groups_and_steps):
    # One number for each clip: the mean IoU over the frames in which the target is in sight.
    ious = [
        [iou(step.logits > 0, truth[step.frame, group]) for step in steps[1:]] for group, steps in groups_and_steps
    ]
    return np.nanmean(np.concatenate(ious, axis=1), axis=0)


layers = range(config.memory_attention.num_layers)
tokens = config.grid[0] * config.grid[1]
shares = [[] for _ in clips]  # for each clip and frame: [layers, memories + 1], the pointers last
by_age = {}  # for each age of a pointer, 0 for the prompted frame's: [layers], once for each clip and frame
wanted = [f"layers.{layer}.cross_attn_image.{part}_rotated" for layer in layers for part in "qk"]
full_bank = list(follow(tracker))
for group, steps in full_bank:
    for step in steps[1:]:
        if len(step.memory_frames) < bank.num_maskmem or not truth[step.frame, group].any():
            continue
        traced = tracker.attention.trace(*step.seen, names=wanted)  # the queries and keys that are compared
        for index, clip in enumerate(group):
            mask = truth[step.frame, clip]
            if not mask.any():
                continue
            cells = object_cells(mask, config.backbone_stride)
            query_key = [traced[name][index : index + 1] for name in wanted]
            row = np.stack(
                [
                    attention_rows(query, key, cells).mean(axis=(0, 1, 2))
                    for query, key in zip(query_key[::2], query_key[1::2], strict=True)
                ]
            )
            spatial = row[:, : bank.num_maskmem * tokens].reshape(len(layers), -1, tokens).sum(axis=2)
            shares[clip].append(np.column_stack([spatial, 1 - spatial.sum(axis=1)]))
            pointers = row[:, bank.num_maskmem * tokens :].reshape(len(layers), len(step.pointer_frames), -1)
            for of, share in zip(step.pointer_frames, pointers.sum(axis=2).T, strict=True):
                by_age.setdefault(step.frame - of if of else 0, []).append(share)
even = tokens / row.shape[-1]
by_clip = np.stack([np.mean(one, axis=0) for one in shares if one])  # [clips, layers, memories + 1]
print(f"{sum(map(len, shares))} frames of {len(by_clip)} clips")

# %%
names = ["prompted", *(f"{age} before" for age in range(bank.num_maskmem - 1, 0, -1)), "pointers"]
figure, axes = plt.subplots(1, len(layers), figsize=(11, 3.8), sharey=True)
for layer, axis in zip(layers, axes, strict=True):
    colours = [ORANGE] + [BLUE] * (bank.num_maskmem - 1) + [GREEN]
    axis.bar(range(len(names)), by_clip[:, layer].mean(axis=0), color=colours, alpha=0.85)
    for one in by_clip[:, layer]:
        axis.plot(range(len(names)), one, "o", color="black", alpha=0.35, markersize=3)
    axis.axhline(even, color="0.3", linestyle="--", linewidth=1, label="uniform share of a memory")
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.set_title(f"layer {layer}")
axes[0].set_ylabel("share of the target's attention")
axes[-1].legend(frameon=False)
plt.show()
print(f"uniform: {even:.1%} for each memory, {1 - even * bank.num_maskmem:.1%} for all pointers together")
for layer in layers:
    mean = by_clip[:, layer].mean(axis=0)
    print(f"layer {layer}: " + ", ".join(f"{name} {share:.1%}" for name, share in zip(names, mean, strict=True)))
    print(
        f"Found: in layer {layer} the prompted frame gets {mean[0] / even:.1f} times a uniform share, the newest memory "
        f"{mean[-2] / even:.1f} times, the pointers {mean[-1] / (1 - even * bank.num_maskmem):.2f} times theirs."
    )
for layer in layers:
    said = ", ".join(
        f"{f'{age} before' if age else 'prompted'} {np.mean(by_age[age], axis=0)[layer]:.1%}"
        for age in sorted(by_age)
    )
    print(f"layer {layer}, pointers one by one, where they are seen: {said}")

# %% [markdown]
# Bars are means over the clips, dots are the clips. Oldest to newest is left to right, with the prompted frame
# first. The newest memory resembles the present most; the prompted frame is the only one whose mask is certainly
# right. The spread of the dots says how far one may speak of a rule.
#
# In the first layer the target's queries ask memories, and mostly the prompted frame's. In the last one they ask the
# prompted frame's pointer, and nothing else gets anything. No rule of the network asks for that, and SAM 2's four layers need
# not do it. What it does is simple. Where all queries ask one and the same pointer, it adds one vector to all of them: it
# says what is looked for, and the first layer has found where that was.
#
# How did it come to that? Known: it was made so. Before training, a pointer held what a memory token of the object holds,
# and beside it a mark that no memory had. The last layer looked for this mark, so strongly that nothing else got a share,
# and how it looks was not learned: the projections of its queries and keys are those that training began with. What a
# pointer says was learned, and what is made of it; and halfway through, one frame in four saw no memory at all, only
# pointers. That it is the prompted frame's pointer was learned too: all eight begin with the mark, and before training that
# one got no more than the others.
#
# Less was not enough. Without any of it the same kind of network gave its pointers less than a thousandth of the attention.
# With a last layer that began by looking for what pointers *and* the object's cells in memory hold, it gave them some 60%
# of its attention at the end, and lost next to nothing without them: where both are asked at once, a memory says most of
# what a pointer can. And of three trackers of an earlier recipe, which looked for the mark less strongly and went on
# learning how, two came back to memories in part, and lost next to nothing without pointers either. Attention is not yet
# need; what is needed is seen below. (These are figures of trackers before this one, whose weights are not kept. What they
# say of SAM 2 is that a pointer can carry what an object is, and that it takes some care until it does; not that SAM 2's
# do.)
#
# ## Fewer memories, and more
#
# Attention on a memory is not yet use of it. So we take memories away, or give more of them, and track the same clips
# again. `num_maskmem` is a setting of the config, but the learned vectors must be made to fit: of $n$ memories the
# recent ones have the entries $0$ to $n - 2$, and the prompted one has the last. This tracker was trained with two, the
# prompted frame's and the newest; a recent frame that is older gets the newest one's vector too.
#
# With $n = 1$ only the prompted frame is remembered (and the pointers, where there are any).


# %%
def with_bank(config, **changes):
    return config.with_changes(memory_bank=config.memory_bank.model_copy(update=changes))


def with_memories(count, pointers=True, **changes):
    changed = with_bank(config, num_maskmem=count, use_obj_ptrs_in_encoder=pointers, **changes)
    *recent, prompted = weights["maskmem_tpos_enc"]
    ages = np.minimum(range(count - 1), len(recent) - 1)
    kept = np.stack([*(recent[age] for age in ages), prompted])
    return Tracker(changed, weights | {"maskmem_tpos_enc": kept}, BACKEND)


counts = (1, 2, 3, 5)
full = counts.index(bank.num_maskmem)
some_counts = (1, bank.num_maskmem)  # without pointers, to save time
by_count = {  # [counts, clips]
    True: np.stack([mean_ious(full_bank if n == bank.num_maskmem else follow(with_memories(n))) for n in counts]),
    False: np.stack([mean_ious(follow(with_memories(n, pointers=False))) for n in some_counts]),
}

print(f"mean IoU over {CLIPS} held-out clips of {FRAMES} frames\n")
print("memories   with pointers   without")
for line, count in enumerate(counts):
    without = f"{by_count[False][some_counts.index(count)].mean():7.3f}" if count in some_counts else ""
    print(f"{count:8d}   {by_count[True][line].mean():13.3f}   {without}")

change = by_count[True] - by_count[True][full]
error = change.std(axis=1, ddof=1) / np.sqrt(CLIPS)
print(
    f"\nFound: against the {bank.num_maskmem} memories that it was trained with, the prompted frame alone changes the "
    f"IoU by {change[0].mean():+.3f} ± {error[0]:.3f}, and {counts[-1]} memories by {change[-1].mean():+.3f} ± "
    f"{error[-1]:.3f} (on such short clips)."
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 3.8))
axes[0].plot(counts, by_count[True], color="0.8", linewidth=1)
for pointers, several, colour, style, name in (
    (True, counts, BLUE, "o-", "with pointers"),
    (False, some_counts, ORANGE, "s", "without pointers"),
):
    axes[0].plot(several, by_count[pointers].mean(axis=1), style, color=colour, linewidth=2, label=name)
axes[0].plot([], [], color="0.8", label="each clip, with pointers")
axes[0].set_ylim(0, 1)
axes[0].set_ylabel("mean IoU")
axes[0].legend(frameon=False, fontsize=9, loc="lower right")
axes[1].axhline(0, color="0.5", linewidth=1)
axes[1].errorbar(counts, change.mean(axis=1), yerr=2 * error, fmt="o-", color=BLUE, capsize=4)
axes[1].set_ylabel(f"change of IoU against {bank.num_maskmem} memories")
axes[1].set_title("with pointers; bars: two standard errors over clips", fontsize=10)
for axis in axes:
    axis.set_xticks(list(counts))
    axis.set_xlabel("memories (1: only the prompted frame)")
    axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# SAM 2's number was chosen by a like comparison, of models at 512 pixels (section 8.2.1 and table 10 of the paper's
# first version). Accuracy is J&F, of which the IoU here is the J; none of the nine datasets was trained on:
#
# | recent memories | MOSE dev | SA-V val | 9 zero-shot datasets | speed |
# | --- | --- | --- | --- | --- |
# | 4 | 73.5 | 68.6 | 70.5 | 1.01 × |
# | 6 | 73.0 | 68.3 | 70.7 | 1.00 × |
# | 8 | 73.2 | 69.0 | 70.7 | 0.93 × |
#
# The paper reads it as more memories mostly helping, with some variance, and takes six as a balance of how far back
# a frame sees and what that costs; with the prompted frame these are seven. No number stands out, neither there nor
# here. What seven are for cannot be read from such means: for that one needs clips in which the object is away for
# longer than the fewer memories reach back.
#
# ## Without a sense of time, without pointers, without absence
#
# Now the bank is full again, and single parts are taken away: the learned time of the memories is set to zero; the
# time of the pointers is switched off as well (`add_tpos_enc_to_obj_ptrs`); the pointers are left out; the
# memories of frames in which nothing was found are not marked (`no_obj_embed_spatial`); and, as a floor, the whole
# memory is replaced by zeros.

# %%
timeless = weights | {"maskmem_tpos_enc": np.zeros_like(weights["maskmem_tpos_enc"])}
unmarked = weights | {"no_obj_embed_spatial": np.zeros_like(weights["no_obj_embed_spatial"])}
no_pointer_time = with_bank(config, add_tpos_enc_to_obj_ptrs=False)
results = {
    "everything": by_count[True][full],
    "memories without time": mean_ious(follow(Tracker(config, timeless, BACKEND))),
    "nothing has a time": mean_ious(follow(Tracker(no_pointer_time, timeless, BACKEND))),
    "no pointers": by_count[False][-1],
    "absence not marked": mean_ious(follow(Tracker(config, unmarked, BACKEND))),
    "memory of zeros": mean_ious(follow(Tracker(config, weights, BACKEND, forgetful=True))),
}
base = results["everything"]
print(f"{CLIPS} held-out clips of {FRAMES} frames; change: mean over clips ± its standard error\n")
for name, ious in results.items():
    change = ious - base
    said = "" if ious is base else f"{change.mean():+.3f} ± {change.std(ddof=1) / np.sqrt(CLIPS):.3f}"
    print(f"{name:22s}  mean IoU {ious.mean():.3f}   {said}")
clear = [
    name
    for name, ious in results.items()
    if (base - ious).mean() > max(0.01, 2 * (base - ious).std(ddof=1) / np.sqrt(CLIPS))
]
print("\nFound: lost more than 0.01 and twice its standard error:", ("; ".join(clear) or "none") + ".")

# %%
figure, axis = plt.subplots(figsize=(9, 3.2))
for line, ious in enumerate(results.values()):
    axis.plot(ious, np.full(CLIPS, line), "o", color=GREY, alpha=0.7, markersize=5)
    axis.plot(ious.mean(), line, "D", color=ORANGE if line else BLUE, markersize=9)
axis.axvline(base.mean(), color=BLUE, linestyle="--", linewidth=1)
axis.set_yticks(range(len(results)), list(results))
axis.invert_yaxis()
axis.set_xlim(-0.02, 1)
axis.set_xlabel("IoU (grey: each clip; diamond: their mean)")
axis.grid(axis="x", alpha=0.3)
plt.show()

# %% [markdown]
# ## Memories without pointers, pointers without memories
#
# A memory says which cells were the object, and a pointer is meant to say what the object is. What does each do by itself? We
# replace the contents of one kind by zeros and keep those of the other. Zeros are not nothing: such a token keeps
# its position and takes its share of the softmax, but what it brings back is the same for all of them.
#
# A third run leaves out everything but the newest memory, the prompted frame's too once there is a newer one: each
# frame then knows just what the frame before handed on.


# %%
def looking_at(change):
    # The same tracker, whose memory is changed before it is looked at.
    changed = Tracker(config, weights, BACKEND)
    attention = changed.attention

    def call(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid):
        memory, memory_pos, num_obj_ptr_tokens = change(memory, memory_pos, num_obj_ptr_tokens)
        return attention(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid)

    changed.attention = call
    return changed


def weighed(memory, factors):
    # Each token times a factor of its own.
    return memory * tracker.array(np.array(factors, np.float32)[:, None, None])


def without_pointers(memory, memory_pos, pointers):
    return weighed(memory, [1] * (len(memory) - pointers) + [0] * pointers), memory_pos, pointers


def without_memories(memory, memory_pos, pointers):
    return weighed(memory, [0] * (len(memory) - pointers) + [1] * pointers), memory_pos, pointers


def newest_memory(memory, memory_pos, pointers):
    # Memories are listed with the newest last, and after them the pointers.
    newest = slice(len(memory) - pointers - tokens, len(memory) - pointers)
    return memory[newest], memory_pos[newest], 0


changes = {
    "memories, pointers of zeros": without_pointers,
    "pointers, memories of zeros": without_memories,
    "the newest memory alone": newest_memory,
}
alone = {name: mean_ious(follow(looking_at(change))) for name, change in changes.items()}
for name, ious in (alone | {"memory of zeros": results["memory of zeros"]}).items():
    lost = ious - base
    print(f"{name:28s} mean IoU {ious.mean():.3f}   {lost.mean():+.3f} ± {lost.std(ddof=1) / np.sqrt(CLIPS):.3f}")

# %% [markdown]
# So neither kind does it all. Pointers alone find the object in most clips, with no memory that says where it was: far
# more than a memory of zeros does. Memories alone do better: beside pointers of zeros they lose no more than ten clips can
# tell, and with no pointers at all a few hundredths of the IoU (above; over two hundred clips that is seven times its
# standard error, as the README's table says). One thing more is in these numbers: in training there were frames without
# memories and never one without pointers, so that memories alone are what this tracker has never seen. And the newest memory
# alone is not enough: errors are handed on.
#
# For SAM 2 we know of no such figures. What follows from how it is built: a pointer's key has no place, and what
# it brings back is one vector for whatever looks at it, so pointers alone can at best raise what looks like the
# object, wherever that is; they cannot say which of two alike it was, nor where its outline ran. Memories alone
# still say both. What they lack would show where looks have to be known from more frames than the six that
# memories reach back.
#
# That agrees with what the paper found, of models trained with and without pointers (section 8.2.3 and table 12 of
# its first version, J&F). SA-V gains, and so does LVOSv2, a benchmark of long videos; the mean of the nine
# datasets, of which LVOSv2 is one, does not, and the speed stays the same:
#
# |  | MOSE dev | SA-V val | LVOSv2 val | 9 zero-shot datasets |
# | --- | --- | --- | --- | --- |
# | without pointers | 73.1 | 64.5 | 67.0 | 70.9 |
# | with pointers | 73.0 | 68.3 | 71.6 | 70.7 |
#
# And the newest memory alone is what would be left of SAM 2 if each frame's mask were handed to the next as its
# prompt. It is more than that, since a memory also has the looks of its frame. An error is then passed on and never
# taken back, since nothing older contradicts it, and after one frame without the object there is nothing left to
# find it by.
#
# ## What training showed it
#
# SAM 2 learned all this from short clips. A training sequence has eight frames, with at most three objects; one or
# two of the frames are prompted, the first always (section 4 and appendix C.2 of the paper's first version; SAM 2.1 saw
# longer ones too). Half of the first
# prompts are masks, a quarter are single clicks and a quarter boxes; after a click or a box, more clicks correct
# what is still wrong.
#
# Why so short? The paper compares four, eight and ten frames: SA-V val rises from 60.0 to 68.3 and then is 68.1, and
# eight is called a balance of speed and accuracy (section 8.2.1). A reasonable explanation is the machine: gradients
# pass through all frames of a sequence, so what each of them computed has to be kept until the end.
#
# That a model of eight frames tracks for minutes is owed to the bank. With one prompt the last of eight frames sees
# the prompted frame and six recent ones, all there will ever be; a later frame finds as many memories, in the same
# slots. What it has never met are prompted frames longer ago than seven, which is why their memories are given no
# age, and mistakes that had more than a few frames to grow.
#
# ## How to read this
#
# - Ten clips of ten frames are few, and short: one whose target is hidden can move a mean by several hundredths.
#   Believe changes that are several times their standard error.
# - Everything was switched off in a tracker trained with everything on. A part that is missed at once may still be
#   spared by a network trained without it; a part that is *not* missed was not needed by these weights on these
#   clips. The paper's tables are the other experiment: each of its models was trained without the part, and could make up
#   for it. Of SAM 2's released weights we know no such table.
# - The memories share their work. The prompted frame has the right mask and an old picture; the newest has a
#   picture like the present and a mask that was only found. Each makes up for some of what the other lacks, so
#   taking away one of several can cost less than its share of the attention suggests.
# - Such short clips, with one prompt, do not show what a long memory is for. SAM 2 tracks for minutes.
#
# ## To try
#
# 1. Give it four memories, and a `memory_temporal_stride_for_eval` of 2 or 3, with which as many reach further back.
#    Does it help the clips with an occlusion?
# 2. Give `follow_batch` clips of 30 frames (`held_out_clip(index, 30)`), twice as long as any in training. Which
#    of the lines above move?
# 3. How many tokens would SAM 2 look at if it kept the memories of all frames of a minute, at 30 frames a second?
#    And how many if it kept only their pointers?
#
# <details>
# <summary>Answers</summary>
#
# 1. It can help only where the recent memories all show the target hidden, and a wider step reaches behind the
#    occlusion. Where the prompted frame shows the target well enough, there is little to gain: it is seen anyway.
#    The price is that the memories between are older, and resemble the present less. Measure it with
#    `mean_ious(follow(with_memories(4, memory_temporal_stride_for_eval=2)))`. (With two memories a stride changes
#    nothing: the newest frame is always seen.)
# 2. Those that lean on the prompted frame: it grows old, and what has turned or moved since resembles it less. The
#    number of memories seen stays the same, and so do the entries: a long video has no ages that a short one
#    lacks, except for the pointers of prompted frames, whose fraction may exceed one.
# 3. A memory has 64 × 64 = 4096 tokens and a pointer 4. Of 1800 frames that is 7.4 million tokens, or 7200. SAM 2
#    looks at 28736.
#
# </details>
