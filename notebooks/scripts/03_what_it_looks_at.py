# %% [markdown]
# # What it looks at
#
# Every frame after the first asks the memory: *which part of me is the object?* The answer is a weighted mean over
# memory tokens, and the weights, the softmax rows of the cross-attention, can be looked at. This notebook looks at
# them in a trained tracker: on one clip over time, then in numbers (how concentrated is the attention, and how
# much of it falls on the object?), and at last around an occlusion, when the object disappears and comes back.
#
# The only thing to change is the next line: `"reference"` computes in NumPy, `"accelerated"` in PyTorch.

# %%
BACKEND = "reference"

# %%
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display
from matplotlib.colors import PowerNorm

from memory_attention.pictures.attention import draw_attention
from memory_attention.pictures.explorer import explore
from memory_attention.tracker import Tracker, read_tracker
from memory_attention.tracker.evaluation import attention_shares, held_out_clip, iou
from memory_attention.tracker.plots import layer_on_memory, object_cells
from memory_attention.tracker.recorded import record_steps

plt.rcParams |= {"figure.dpi": 90, "font.size": 10, "figure.constrained_layout.use": True}
BLUE, SKY, ORANGE, GREEN, GREY = "#0072b2", "#56b4e9", "#d55e00", "#009e73", "0.55"
LAYER_COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7")

config, weights, made_by = read_tracker()
tracker = Tracker(config, weights, BACKEND)
layers = range(config.memory_attention.num_layers)
height, width = config.grid
tokens, stride = height * width, config.backbone_stride


def show_as_jpeg(figure, dpi=90):
    # Photographs make large PNG files.
    picture = io.BytesIO()
    figure.savefig(picture, format="jpeg", dpi=dpi, pil_kwargs={"quality": 88})
    plt.close(figure)
    display(Image(picture.getvalue()))


# %% [markdown]
# ## A clip with an occlusion
#
# The clips are made: an object cut out of one photograph moves over another one, among distractors, and in most
# clips something passes in front. None of the photographs used here was trained on. Held-out clip 150 was chosen
# because its target is wholly covered for a few frames, comes out again, and is found again. The tracker is given
# the true mask of frame 0 and nothing else.

# %%
CLIP = 150
clip = held_out_clip(CLIP)
frames, truth = clip.frames, clip.masks[:, 0]
steps = list(tracker.follow(frames, truth[:1]))
found = np.stack([truth[0]] + [step.logits[0] > 0 for step in steps[1:]])
ious = iou(found, truth)
hidden = np.flatnonzero(~truth.any(axis=(1, 2)))
print(f"hidden in frames {hidden.tolist()}")
print(
    f"Found: mean IoU {ious[1 : hidden[0]].mean():.2f} before the occlusion (frames 1 to {hidden[0] - 1}) and "
    f"{ious[hidden[-1] + 1 :].mean():.2f} after it (frames {hidden[-1] + 1} to {len(frames) - 1}); "
    f"in the hidden frames it sees {found[hidden].sum(axis=(1, 2)).max()} pixels at most, of {truth[0].sum()}."
)


# %%
def outline(axis, mask, colour, style="-"):
    # A dark seam below, so that it stands out on any background, white ones too.
    if mask.any():
        axis.contour(mask, levels=[0.5], colors="black", linewidths=2.4)
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.3, linestyles=style)


figure, axes = plt.subplots(2, len(frames) // 2, figsize=(12.5, 3.8))
for number, axis in enumerate(axes.ravel()):
    axis.imshow(frames[number])
    outline(axis, truth[number], SKY)
    outline(axis, found[number], ORANGE, "--")
    said = "prompt" if number == 0 else "hidden" if number in hidden else f"IoU {ious[number]:.2f}"
    axis.set_title(f"{number}: {said}", fontsize=10)
    axis.axis("off")
figure.suptitle("orange, dashed: mask found (in frame 0: given); blue: truth", fontsize=10)
show_as_jpeg(figure)

# %% [markdown]
# ## One query
#
# A frame has 16 × 16 tokens, so a token is a cell of 8 × 8 pixels. We take one cell on the target, in frame 3, and
# draw its softmax row over the memory frames. The first memory is always the prompted frame; the other is the
# frame before. Colours are in multiples of uniform: 1 means that a token gets just what it would
# get if all memory tokens were looked at alike. The layer is the last one that looks at memories and not at object
# pointers alone.

# %%
NUMBER = 3
cells = object_cells(found[NUMBER], stride)
rows, columns = np.divmod(cells, width)
query = cells[int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))]
step = steps[NUMBER]
on_memory = layer_on_memory(tracker, step, found[NUMBER])
row = tracker.attention.attention_map(*step.seen, layer=on_memory, queries=query)[0, :, 0].mean(axis=0)
share = row[: len(step.memory_frames) * tokens].reshape(-1, tokens)
figure = draw_attention(
    row,
    config.grid,
    query,
    frames[NUMBER],
    frames[list(step.memory_frames)],
    step.seen.num_obj_ptr_tokens,
    f"clip {CLIP}, frame {NUMBER}, layer {on_memory}",
    [f"frame {number}" for number in step.memory_frames],
)
show_as_jpeg(figure, dpi=80)
strongest = int(share[0].argmax())
print(
    f"Found: in frame 0 the query at {divmod(int(query), width)} looks most at the cell {divmod(strongest, width)}, with "
    f"{share[0].max() * len(row):.0f} times a uniform share, "
    f"{'on' if strongest in object_cells(truth[0], stride) else 'off'} the target; "
    f"{(share.ravel() * len(row) < 1).mean():.0%} of the memory's cells get less than a uniform one."
)


# %% [markdown]
# ## How concentrated is it?
#
# The entropy of a softmax row $p$ is $H = -\sum_j p_j \log p_j$. Its exponential, $e^H$, reads as a number of
# tokens: a row spread evenly over $n$ tokens has $e^H = n$. So if a query may choose among a thousand tokens and
# $e^H$ is 20, it looks as narrowly as if it had picked twenty of them and weighed these equally.
#
# We compute it for every query of every frame, and compare the queries on the target with those on the rest of the
# image. The dashed line is the number of tokens there are to choose from; it grows until the memory is full.


# %%
def softmax_rows(step):
    # [layers, objects, queries, memory tokens], the mean over the heads.
    return np.stack(
        [tracker.attention.attention_map(*step.seen, layer=layer, queries="all").mean(axis=1) for layer in layers]
    )


def effective_tokens(rows):
    return np.exp(-(rows * np.log(np.maximum(rows, 1e-30))).sum(axis=-1))


clip_rows = {step.frame: softmax_rows(step)[:, 0] for step in steps[1:]}
on_target, elsewhere = (np.full((len(layers), len(frames)), np.nan) for _ in range(2))
for number, rows in clip_rows.items():
    counts = effective_tokens(rows)
    cells = np.array(object_cells(truth[number], stride) if truth[number].any() else [], int)
    if len(cells):
        on_target[:, number] = counts[:, cells].mean(axis=1)
    elsewhere[:, number] = np.delete(counts, cells, axis=1).mean(axis=1)

figure, axes = plt.subplots(1, len(layers), figsize=(10, 3.6), sharey=True)
for layer, axis in zip(layers, axes, strict=True):
    axis.semilogy(on_target[layer], "o-", color=ORANGE, label="queries on the target")
    axis.semilogy(elsewhere[layer], "s-", color=BLUE, markersize=4, label="all other queries")
    axis.semilogy(
        [np.nan, *(rows.shape[-1] for rows in clip_rows.values())], "--", color=GREY, label="tokens there are"
    )
    axis.axvspan(hidden[0] - 0.5, hidden[-1] + 0.5, color="0.9", label="target hidden")
    axis.set_title(f"layer {layer}")
    axis.set_xlabel("frame")
    axis.grid(alpha=0.3)
    axis.set_xlim(0.5, len(frames) - 0.5)
axes[0].set_ylabel("tokens looked at, $e^H$")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
axes[0].set_ylim(0.7, 1500)
plt.show()
for layer in layers:
    print(
        f"Found: in layer {layer} a query on the target looks at {np.nanmean(on_target[layer]):.1f} tokens, one "
        f"elsewhere at {np.nanmean(elsewhere[layer]):.1f} (means over the clip's frames)."
    )

# %% [markdown]
# A low value says that the query found something particular to look at; a high one that much of the memory looks
# alike to it, or that nothing fits. In the last layer every query, of the target or not, looks at one token, and that
# is a pointer's; how it came to that is told in [notebook 04](04_the_memory_bank.ipynb). Concentration is not yet
# correctness, so next we ask *where* it looks.
#
# ## Attention on the object, against its share of area
#
# If the target's queries looked at the memory blindly, the share of their attention on the target's cells in memory
# would be the share of the area that these cells have. So we compare the two. A cell is the target's where more than
# half of its pixels are; object pointers have no area and are left out, so the share is one of what the memories get,
# however little that is. We take the first ten held-out clips, ten frames each, and one point for every clip and
# frame.

# %%
CLIPS, FRAMES = 10, 10
clips = [held_out_clip(index, FRAMES) for index in range(CLIPS)]
videos = np.stack([one.frames for one in clips], axis=1)
masks = np.stack([one.masks[:, 0] for one in clips], axis=1)
batch = list(tracker.follow_batch(videos, masks[0].astype(np.float32)))

cover = (
    masks.reshape(FRAMES, CLIPS, height, stride, width, stride).mean(axis=(3, 5)).reshape(FRAMES, CLIPS, tokens)
)
target = cover > 0.5
points = []  # IoU of the mask found, share of area, share of attention in each layer
for step in batch[1:]:
    remembered = np.concatenate([target[number] for number in step.memory_frames], axis=1)
    rows = softmax_rows(step)[..., : remembered.shape[1]]
    scores = iou(step.logits > 0, masks[step.frame])
    for index in range(CLIPS):
        looking = target[step.frame, index]
        if looking.any() and remembered[index].any():
            own = rows[:, index, looking]
            shares = (own[..., remembered[index]].sum(axis=-1) / own.sum(axis=-1)).mean(axis=-1)
            points.append((scores[index], remembered[index].mean(), *shares))
points = np.array(points)
print(
    f"{len(points)} points from {CLIPS} clips; the target covers {points[:, 1].mean():.1%} of the memory on average"
)

# On cells and on pointers, each [layers, clips].
ratios, on_pointers = np.nanmean([attention_shares(tracker, step, masks) for step in batch[1:]], axis=0)
for layer in layers:
    print(
        f"Found: in layer {layer} memories get {1 - np.nanmean(on_pointers[layer]):.1%} of the attention of the target's "
        f"queries, and of that the target's cells get {points[:, 2 + layer].mean():.1%}, "
        f"{np.nanmean(ratios[layer]):.1f} times its share of area "
        f"(clips from {np.nanmin(ratios[layer]):.1f} to {np.nanmax(ratios[layer]):.1f})."
    )

# %%
figure, axes = plt.subplots(1, len(layers), figsize=(9, 4), sharex=True, sharey=True)
for layer, axis in zip(layers, axes, strict=True):
    image = axis.scatter(points[:, 1], points[:, 2 + layer], c=points[:, 0], cmap="cividis", vmin=0, vmax=1, s=24)
    axis.plot([0, 1], [0, 1], "--", color=ORANGE, linewidth=1.5, label="as by area alone")
    axis.set_xlim(0, points[:, 1].max() * 1.1)
    axis.set_ylim(0, 1.03)
    axis.set_title(f"layer {layer}")
    axis.set_xlabel("target's share of the memory's area")
axes[0].set_ylabel("share of what the target's queries give to memories")
axes[0].legend(frameon=False, loc="center right")
figure.colorbar(image, ax=list(axes), label="IoU of the mask found")
plt.show()
for layer in layers:
    print(
        f"Found: in layer {layer} IoU and share of attention correlate by "
        f"{np.corrcoef(points[:, 0], points[:, 2 + layer])[0, 1]:+.2f} over the points."
    )

# %% [markdown]
# A point above the dashed line is a frame whose target looks at itself in memory more than by chance. The colour
# is the IoU of the mask found in that frame: are the low points the dark ones? The correlation below the picture
# says how far attention and success go together here (in the last layer memories get next to nothing, so it says nothing
# there); it does not say which causes which, and the points of one
# clip are not independent of each other. The attention need not be all on the target for a good mask, either: a
# token of the background next to the target is just as good a witness, since it remembers that the mask ended
# there.
#
# ## Before, during and after the occlusion
#
# Back to the clip. We take four frames: one before the target is hidden, the last one in which it is hidden, the
# first one in which it is back, and one a little later. In each we take the queries on the target; while it is
# hidden, there are none, so we take the cells where it was last in sight, where now something else is to be seen.
# Each row of pictures shows such a frame at the left, with the cells marked, and its memories at the right. The
# colour scale is compressed (it goes with the square root), so that weak attention is seen too.

# %%
last_in_sight = int(hidden[0]) - 1


def looking_cells(number):
    # The cells on the target or, while it is hidden, where it was last in sight.
    return object_cells(truth[last_in_sight if number in hidden else number], stride)


def memory_heat(number, layer=on_memory):
    # The mean softmax row of those cells: [memories, h, w], and what the pointers get.
    row = clip_rows[number][layer, looking_cells(number)].mean(axis=0)
    spatial = row[: len(steps[number].memory_frames) * tokens]
    return spatial.reshape(-1, height, width), row[len(spatial) :].sum(), len(row)


first, last = int(hidden[0]), int(hidden[-1])
chosen = {"before": first - 3, "during": last, "just back": last + 1, "later": last + 3}
norm = PowerNorm(
    0.5, 0, max(np.quantile(memory_heat(number)[0], 0.998) * memory_heat(number)[2] for number in chosen.values())
)
most = max(len(steps[number].memory_frames) for number in chosen.values())
size = frames.shape[1] - 0.5
figure, axes = plt.subplots(len(chosen), 1 + most, figsize=(8, 9))
for line, (name, number) in zip(axes, chosen.items(), strict=True):
    for axis in line:
        axis.axis("off")
    line[0].imshow(frames[number])
    cells = np.zeros(tokens, bool)
    cells[looking_cells(number)] = True
    outline(line[0], np.kron(cells.reshape(height, width), np.ones((stride, stride))) > 0, SKY)
    line[0].set_title(f"{name}: frame {number}", fontsize=10)
    heat, pointers, total = memory_heat(number)
    for axis, memory, one in zip(line[1:], steps[number].memory_frames, heat, strict=False):
        axis.imshow(frames[memory].mean(axis=-1), cmap="gray", vmin=0, vmax=1)
        image = axis.imshow(one * total, cmap="viridis", norm=norm, alpha=0.75, extent=(-0.5, size, size, -0.5))
        outline(axis, found[memory], ORANGE)
        note = " (hidden)" if memory in hidden else ""
        axis.set_title(f"frame {memory}{note}: {one.sum():.0%}", fontsize=10)
figure.colorbar(image, ax=axes, label="attention, multiples of uniform", shrink=0.7, extend="max", pad=0.01)
figure.suptitle(
    f"layer {on_memory}; blue: the cells that look; orange: the mask as remembered;\n"
    "per cent: share of the attention on that memory",
    fontsize=10,
)
show_as_jpeg(figure)

# %% [markdown]
# The same over the whole clip: the attention of those cells is divided among the prompted frame, the recent
# memories in which the target is in sight, those in which it is hidden, and the object pointers. From the
# second hidden frame on, the one recent memory does not show the target, and what the target looks like is known from
# frame 0, which never leaves, and from pointers. So one might expect the prompted frame's share to rise while the
# target is hidden. Does it?

# %%
kinds = ("prompted frame", "recent, target in sight", "recent, target hidden", "object pointers")
parts = np.zeros((len(kinds), len(frames)))
tokens_of_kind = np.zeros_like(parts)
for number in range(1, len(frames)):
    heat, pointers, total = memory_heat(number)
    for memory, share in zip(steps[number].memory_frames, heat.sum(axis=(1, 2)), strict=True):
        kind = 0 if memory == 0 else 2 if memory in hidden else 1
        parts[kind, number] += share
        tokens_of_kind[kind, number] += tokens / total
    parts[3, number] = pointers
    tokens_of_kind[3, number] = 1 - tokens_of_kind[:3, number].sum()

figure, axes = plt.subplots(2, 1, figsize=(9.5, 5), sharex=True, height_ratios=(2, 1))
bottom = np.zeros(len(frames))
for kind, share, colour, hatch in zip(
    kinds, parts, (BLUE, SKY, "#e69f00", "0.3"), ("", "", "//", ""), strict=True
):
    axes[0].bar(
        range(1, len(frames)),
        share[1:],
        bottom=bottom[1:],
        color=colour,
        hatch=hatch,
        edgecolor="white",
        label=kind,
    )
    bottom += share
axes[0].set_ylabel("share of the attention")
axes[0].set_ylim(0, 1)
axes[0].legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=9)
axes[1].plot(range(1, len(frames)), ious[1:], "o-", color=ORANGE)
axes[1].set_ylim(0, 1)
axes[1].set_ylabel("IoU")
axes[1].set_xlabel("frame")
axes[1].set_xticks(range(1, len(frames)))
for axis in axes:
    axis.axvspan(hidden[0] - 0.5, hidden[-1] + 0.5, color="0.9", zorder=0)
plt.show()

print("share of the attention / share of the tokens")
for name, number in chosen.items():
    said = "; ".join(
        f"{kind} {parts[i, number]:.0%} / {tokens_of_kind[i, number]:.0%}"
        for i, kind in enumerate(kinds)
        if tokens_of_kind[i, number]
    )
    print(f"{name:9s} (frame {number:2d}): {said}")
before, during, after = (
    parts[0, some].mean() for some in (range(1, first), range(first, last + 1), range(last + 1, len(frames)))
)
print(
    f"Found: the prompted frame's share is {before:.0%} before the occlusion, {during:.0%} during it and {after:.0%} "
    f"after it: it {'falls' if during < before else 'rises'} while the target is hidden."
)

# %% [markdown]
# Each share is to be compared with the share of the tokens that the kind has, printed below the picture; only
# where they differ does the tracker prefer anything.
#
# Known: a query is made of the token at *its own* place, so while the target is hidden, the cells that look ask for
# the thing in front of it. The newest memory shows that thing, near the place where it is now, and takes the share
# that the prompted frame loses. The last layer does not notice: its queries ask the same pointer, whatever they are.
# When the target comes back, its cells look like the target again, and the prompted frame is the one that shows it
# whole and with a mask that is certainly right. Nothing in the attention waits for the object: it is the *looks* that
# call it back.
#
# *And if nothing fits?* Known: the weights sum to one all the same, and SAM 2's code has no key for "nothing". A query to
# which all keys are alike brings back the mean of the memory. A reasonable explanation why that does little harm: most of a
# memory is background, so its mean says "not the object", and what is brought back is only added. Whether the object is in
# sight is for the mask decoder's own score to say.
#
# ### After a long absence
#
# What is left of an object that was hidden for 50 frames? In SAM 2 the six recent memories all show it absent by
# then, and the fifteen recent pointers are all `no_obj_ptr`, one and the same learned vector. Its looks are in the
# prompted frame alone: in that frame's memory, with the place where it was then, and in its pointer, with no place
# (and in further prompted frames, if there are any). So it is found again if it still looks as it did when it was
# shown.
#
# Two things go wrong. It comes back turned, smaller or in another light, fits the old memory badly, and is not
# found: then that frame too is remembered as one without the object. Or something else fits better, and is taken for
# it; how that lasts is told in [notebook 07](07_why_was_it_lost.ipynb). The paper names both among its limitations
# (appendix B): after long occlusions, in long videos and in crowded scenes objects may be lost or confused, and its
# remedy is a prompt on a later frame.
#
# ## Was it found by its looks?
#
# One number for the recovery: of the attention of the target's queries in the frames after the occlusion, how much
# falls on the target's cells in the prompted frame, and how much on its cells in the recent memories, each against
# its share of area? (Just after the occlusion the recent memories show so little of the target that its area is
# tiny and the multiple large. The prompted frame's numbers can be compared over time.) Frames in which no cell is mostly
# the target's are left out, such as the first one after the occlusion here; and in the last layer these are shares of next
# to nothing.

# %%
clip_target = truth.reshape(-1, height, stride, width, stride).mean(axis=(2, 4)).reshape(len(frames), tokens) > 0.5
multiples = []
print("attention on the target's cells, as a multiple of their share of area, layer by layer")
for number in range(last_in_sight + 1, len(frames)):
    cells = np.flatnonzero(clip_target[number])
    if not len(cells):
        continue
    memories = steps[number].memory_frames
    heat = clip_rows[number][:, cells].mean(axis=1)[:, : len(memories) * tokens].reshape(len(layers), -1, tokens)
    said, prompted = [], [(heat[:, :1], clip_target[list(memories[:1])])]
    for name, part in (("prompted frame", heat[:, :1]), ("recent frames", heat[:, 1:])):
        own = clip_target[list(memories[:1] if name == "prompted frame" else memories[1:])]
        if own.any():
            ratio = part[:, own].sum(axis=1) / part.sum(axis=(1, 2)) / own.mean()
            said.append(f"{name} " + ", ".join(f"{value:5.1f}" for value in ratio))
    print(f"frame {number:2d} (IoU {ious[number]:.2f}):  " + ";  ".join(said))
    multiples.append([part[:, own].sum(axis=1) / part.sum(axis=(1, 2)) / own.mean() for part, own in prompted])
least = np.min([each[0][on_memory] for each in multiples])
print(
    f"Found: in layer {on_memory}, in every such frame, the target's cells in the prompted frame get at least {least:.1f} "
    "times what their area would: it is found by its looks."
    if least > 1
    else f"Found: in layer {on_memory}, in some frame, the prompted frame's target gets {least:.1f} times its area's share."
)

# %% [markdown]
# It is one clip, chosen because it has an occlusion and a recovery, so it shows *how* a recovery can go and not
# how often it does. How often is a matter of many clips: `memory-attention evaluate` tracks two hundred, and
# [notebook 04](04_the_memory_bank.ipynb) measures what each part of the memory contributes.
#
# How SAM 2's own four layers look is not shown here, as its weights are no part of this project; `memory_attention.record`
# shows it to whoever has them. And weights are no explanation by themselves: what is looked at may bring back little, and
# every token also passes by the attention. Only taking something away shows whether it was needed.
#
# ## Look for yourself
#
# The explorer is a page on which you point at a query and see where it looks, in every memory and every layer.
# Below it shows a single early frame, to keep this file small (a notebook viewer that does not run scripts leaves
# the space blank). The same page with six frames, the recovery among them, is written by
#
# ```
# memory-attention explore --clip 150 --output explorer.html
# ```

# %%
recording = record_steps(tracker.attention, steps, [2]).add_images(frames, found)
page = explore(recording, f"held-out clip {CLIP}, {BACKEND} backend")
display(page, include=["text/html"])

# %% [markdown]
# ## To try
#
# 1. Take another clip in which the target is hidden for a while: `CLIP = 15`, then `CLIP = 184`. Does the prompted frame's
#    share behave as above?
# 2. Draw the other layer, `layers[-1]`, in the pictures of the occlusion. What differs, and why?
# 3. Which of the pictures would look the same if the target's mask in frame 0 had been empty?
#
# <details>
# <summary>Answers</summary>
#
# 1. It depends on what passes in front. Whatever it is, the cells look for what *they* show now; where that was in
#    the prompted frame too, at about the same place, the share need not fall.
# 2. `memory_heat` takes the layer. Memories get next to nothing there, as all queries look at a pointer; the shares above
#    the pictures say so. In a recording of SAM 2 all four layers are worth a look.
# 3. None of the masks, of course. But where the tokens look *first* hardly changes: the mask is in the memory's
#    tokens, mixed with the looks, and a query that asks for looks finds them. What it brings back is then "not the
#    object", and from there on all that follows is another story.
#
# </details>
