# %% [markdown]
# # Where am I?
#
# Attention compares every query with every key, and by itself it knows nothing of order or of place: shuffle the
# keys together with their values and the result stays the same. For the pixels of a video this will not do. SAM 2
# says where a token is in two ways. A **sine encoding** is *added* to the tokens; a **rotary encoding** *turns*
# the queries and the keys. This notebook builds both, shows why a rotary score depends only on the offset between
# two places, asks why values and object pointers are left unturned, and then switches each encoding off in a
# trained tracker to measure what breaks. [Which encoding goes
# where](../reference/README.md#which-encoding-goes-where) is a table on the reference's title page.
#
# The only thing to change is the next line: `"reference"` computes in NumPy, `"accelerated"` in PyTorch.

# %%
BACKEND = "reference"

# %%
import matplotlib.pyplot as plt
import numpy as np

import memory_attention as ma
from memory_attention.reference import MemoryAttention, RoPEAttention
from memory_attention.reference.attention import softmax
from memory_attention.reference.position import rotary_angles, rotate, sine_encoding_2d
from memory_attention.tracker import Tracker, read_tracker
from memory_attention.tracker.evaluation import held_out_clip, iou

plt.rcParams |= {"figure.dpi": 90, "font.size": 10, "figure.constrained_layout.use": True}
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "0.55"


def mark(axis, row, column):
    # A query's place, on any background.
    for colour, wide in (("white", 4), (ORANGE, 2)):
        axis.plot(column, row, "s", markersize=9, mfc="none", mec=colour, mew=wide)


config, weights, made_by = read_tracker()
network = config.memory_attention
height, width = config.grid
head_dim = network.layer.cross_attention.head_dim
print(
    f"a frame is {height} × {width} tokens of {network.d_model} channels; "
    f"a memory token has {network.memory_dim}; a head has {head_dim}"
)


# %% [markdown]
# ## Attention alone does not know where
#
# `without_rotation` is a change of the config: the two attentions of each layer become plain ones. We draw random
# inputs, let the frame look at two memory frames, list the memory tokens in another order, and look again. Each
# token takes along what was added to it. One order is a shuffle of all tokens; in the other the two memories change
# places as wholes.


# %%
def with_rotation(config, self_attention, cross_attention):
    # A copy of the config in which each kind of attention is rotary or not.
    layer = config.memory_attention.layer
    layer = layer.model_copy(
        update={
            "self_attention": layer.self_attention.model_copy(update={"rotary": self_attention}),
            "cross_attention": layer.cross_attention.model_copy(update={"rotary": cross_attention}),
        }
    )
    return config.with_changes(memory_attention=config.memory_attention.model_copy(update={"layer": layer}))


without_rotation = with_rotation(config, self_attention=False, cross_attention=False)
rng = np.random.default_rng(0)
tokens = height * width
curr = rng.normal(size=(tokens, 1, network.d_model)).astype(np.float32)
curr_pos = sine_encoding_2d(height, width, network.d_model).reshape(tokens, 1, -1).astype(np.float32)
memory, memory_pos = rng.normal(size=(2, 2 * tokens, 1, network.memory_dim)).astype(np.float32)
orders = {
    "shuffling the tokens": rng.permutation(2 * tokens),
    "swapping the two memories": np.roll(np.arange(2 * tokens), tokens),
}

for name, changed in (("without rotation", without_rotation), ("with rotation", config)):
    attention = ma.load(changed, BACKEND, seed=0)
    before = attention(curr, memory, curr_pos, memory_pos, grid=config.grid)
    for what, order in orders.items():
        after = attention(curr, memory[order], curr_pos, memory_pos[order], grid=config.grid)
        print(f"Found: {name}, {what} changes the result by {np.abs(after - before).max():.1g}.")

# %% [markdown]
# Without rotation no change is more than rounding error: the memory is a bag of tokens. With rotation the order of the
# tokens *within* a memory matters, because a token's number there says which cell of the grid it stands for. The
# order of whole memories does not matter even then: each has the same table of angles, and what tells their ages
# apart is added to their tokens and moves along with them. In which order the bank lists its memories is a
# convention.
#
# ## The sine encoding: a place as a pattern
#
# The first way is to give every place a vector of its own and to add it to the token. Half of the channels speak
# of the row $y$ and half of the column $x$. In each half the channels come in pairs with a frequency $\omega$; one
# takes $\sin(\omega u)$ and the other $\cos(\omega u)$, where $u = 2\pi x / w$ goes once around as $x$ crosses the
# grid (in SAM 2, rows and columns are counted from 1). High frequencies tell neighbours apart, low ones tell left
# from right.
#
# Below are four of the channels, and then the dot product of one place's vector with that of every place. Within a
# pair, $\sin a \sin b + \cos a \cos b = \cos(a - b)$, so the product of two encodings depends on their offset
# alone and is largest for the place itself.

# %%
place = sine_encoding_2d(height, width, network.d_model)
row, column = 4, 10
similarity = place @ place[row, column]

figure, axes = plt.subplots(1, 5, figsize=(12, 2.5))
half = network.d_model // 2
for axis, channel in zip(axes, (0, 5, half, half + 5), strict=False):
    image = axis.imshow(place[..., channel], cmap="RdBu_r", vmin=-1, vmax=1)
    axis.set_title(f"channel {channel}: {'row' if channel < half else 'column'}", fontsize=10)
figure.colorbar(image, ax=list(axes[:4]), label="value added", shrink=0.85)
image = axes[4].imshow(similarity, cmap="viridis")
mark(axes[4], row, column)
axes[4].set_title("product with the mark", fontsize=10)
figure.colorbar(image, ax=axes[4], label="dot product", shrink=0.85)
for axis in axes:
    axis.set(xlabel="column x (cells)", xticks=(0, 5, 10, 15), yticks=(0, 5, 10, 15))
axes[0].set_ylabel("row y (cells)")
plt.show()
print(
    f"Found: the product is {similarity[row, column]:.0f} at the place itself and {similarity.min():.0f} at the farthest."
)

# %% [markdown]
# But the encoding is *added* to tokens that also carry a content, and then the sum is projected. With content $x,
# y$ and places $p_m, p_n$, a score is
#
# $$ \bigl(W_q (x + p_m)\bigr)^\top W_k (y + p_n) \;=\; x^\top\! A\, y \;+\; x^\top\! A\, p_n \;+\; p_m^\top A\, y
# \;+\; p_m^\top A\, p_n , \qquad A = W_q^\top W_k , $$
#
# biases left out. The two terms in the middle say things like "this content looks at the top left, wherever it
# stands itself". And even the last one is a matter of the offset only where $A$ is a multiple of the identity;
# after learned projections it is not. All of this can be useful, but it has to be learned anew for every place.
#
# ## The rotary encoding: a place as a turn
#
# The second way does not add. It splits a query's channels into pairs, and turns each pair in its own plane by an
# angle that grows with the place. Write $R(\alpha)$ for a turn of the plane by $\alpha$:
#
# $$ R(\alpha) = \begin{pmatrix} \cos\alpha & -\sin\alpha \\ \sin\alpha & \cos\alpha \end{pmatrix}, \qquad
# R(\alpha)^\top = R(-\alpha), \qquad R(\alpha)\,R(\beta) = R(\alpha + \beta). $$
#
# The query stands at place $m$, the key at place $n$, and each is turned by its place times a frequency $\theta$.
# Their score is
#
# $$ \bigl(R(m\theta)\,q\bigr)^\top \bigl(R(n\theta)\,k\bigr)
#    \;=\; q^\top R(-m\theta)\,R(n\theta)\,k \;=\; q^\top R\bigl((n - m)\,\theta\bigr)\,k . $$
#
# The places have vanished; what is left is the offset $n - m$. A head's score is the sum over its pairs, and a sum
# of functions of the offset is a function of the offset. In two dimensions (the *axial* form) half of the pairs
# turn with $x$ and half with $y$, so the score depends on $(\Delta x, \Delta y)$.
#
# By hand: on a grid of 2 × 2, a head of four channels has one pair that turns by $x$ radians and one that turns by $y$. Let
# every query and every key be $(1, 0, 1, 0)$:
#
# | $(x, y)$ | turned |
# | --- | --- |
# | (0, 0) | (1, 0, 1, 0) |
# | (1, 0) | (0.54, 0.84, 1, 0) |
# | (0, 1) | (1, 0, 0.54, 0.84) |
# | (1, 1) | (0.54, 0.84, 0.54, 0.84) |
#
# A step to the right scores $0.54 + 1$ in the upper row and $0.54 + (0.54^2 + 0.84^2)$ in the lower one, 1.54 both times.
# In general it is $\cos \Delta x + \cos \Delta y$: 2 at the place itself, 1.54 a step away, 1.08 on the diagonal.
#
# SAM 2's code writes a pair as a complex number and its turn as a product, $(a + ib)\,e^{i\varphi}$: the same formula. (It
# goes to float32 for that, and what exports or compiles a network often knows no complex numbers: here they are written
# out.) It pairs neighbouring channels, $2i$ and $2i + 1$; other programs pair $i$ with $i + d/2$. Weights go from one to the
# other only with the rows of `q_proj` and `k_proj`, and their biases, put in the other order: left as they are they load,
# and the results are wrong.
#
# The turn comes *after* the projections, so this holds for whatever $q$ and $k$ they give.
#
# We check this numerically. All queries have one content, all keys another; only their places differ. For each
# encoding we take all pairs of places with the same offset and ask how much their scores differ.

# %%
query, key = rng.normal(size=(2, head_dim))
W_q, W_k = rng.normal(size=(2, head_dim, head_dim)) / np.sqrt(head_dim)
angles = rotary_angles(height, width, head_dim, network.layer.cross_attention.rope_theta)
flat_place = sine_encoding_2d(height, width, head_dim).reshape(tokens, head_dim)

scores = {
    "sine alone": flat_place @ flat_place.T,
    "sine alone, projected": (flat_place @ W_q.T) @ (flat_place @ W_k.T).T,
    "sine, added": ((query + flat_place) @ W_q.T) @ ((key + flat_place) @ W_k.T).T,
    "rotary": rotate(np.tile(W_q @ query, (tokens, 1)), angles)
    @ rotate(np.tile(W_k @ key, (tokens, 1)), angles).T,
}
y, x = np.divmod(np.arange(tokens), width)
offset = (y[None, :] - y[:, None] + height) * 2 * width + (x[None, :] - x[:, None] + width)
for name, score in scores.items():
    spread = max(np.ptp(score[offset == one]) for one in np.unique(offset))
    print(
        f"{name:22s} scores range over {np.ptp(score):5.1f}; with the same offset they differ by up to {spread:.0e}"
    )
print("Found: only the sine by itself, not projected, and the rotation depend on the offset alone.")

# %%
figure = plt.figure(figsize=(12, 2.9))
places = ((5, 4), (9, 10))
for part, name in zip(figure.subfigures(1, 2), ("sine, added", "rotary"), strict=True):
    # Softmax does not see what all keys have in common.
    centred = scores[name] - scores[name].mean()
    largest = np.abs(centred).max()
    pair = part.subplots(1, 2, sharey=True)
    for axis, (row, column) in zip(pair, places, strict=True):
        seen = centred[row * width + column].reshape(height, width)
        image = axis.imshow(seen, cmap="RdBu_r", vmin=-largest, vmax=largest)
        mark(axis, row, column)
        axis.set_title(f"{name}: x = {column}, y = {row}", fontsize=10)
        axis.set(xlabel="key's column x (cells)", xticks=(0, 5, 10, 15), yticks=(0, 5, 10, 15))
    pair[0].set_ylabel("key's row y (cells)")
    part.colorbar(image, ax=list(pair), label="score, less the mean", shrink=0.9)
plt.show()

# %% [markdown]
# Each picture shows the scores of one query, marked, with the keys of all cells, less the mean of all. On the
# right, rotary, the second picture is the first one moved along with the query. On the left, sine, the pattern
# does not follow the query in this way: where the content points counts for as much as where the query stands.
#
# **SAM 2 uses both at once.** The keys of memories are $W_k (m + p) + b_k$, where $p$ is a sine encoding of the
# place plus a learned vector for the age, and then they are turned. So a score of its cross-attention is a rotary
# one, of contents that know their place: it is *not* a function of the offset alone. The queries have no sine of
# their own there, but the tenth that was added at the input.
#
# *Is one not enough?* Known: the paper always has the added encodings, and tried the rotation on top of them. Without
# rotation SA-V val falls from 68.3 to 67.1 and LVOSv2 from 71.6 to 70.3 (section 8.2.2 and table 11 of its first version);
# rotation alone it does not report. A reasonable explanation: rotation knows offsets only, and the sine lets content go
# with a place in the image.
#
# How fast does a pair turn? The frequencies fall geometrically, $\theta_j = 10000^{-4j/d}$, from one radian a cell
# downwards. A pair whose full turn takes far more cells than the grid has hardly turns at all: such channels
# compare content with content, and only the fast ones know much about place.

# %%
turn = angles[1, : head_dim // 4]  # the angles of the token at x = 1
cells = 2 * np.pi / turn
figure, axis = plt.subplots(figsize=(7, 3))
axis.semilogy(np.arange(len(cells)), cells, "o-", color=BLUE)
axis.axhline(width, color=ORANGE, linestyle="--")
axis.text(len(cells) - 1, width * 0.75, f"width of the grid, {width} cells", color=ORANGE, ha="right", va="top")
axis.set_xlabel("pair of channels j (of those that turn with x)")
axis.set_ylabel("cells for a full turn")
axis.grid(alpha=0.3)
plt.show()
print(
    f"Found: {(cells <= width).sum()} of {len(cells)} pairs complete a turn within the grid; "
    f"{(turn * (width - 1) < np.pi / 12).sum()} turn by less than 15° from its one end to the other."
)

# %% [markdown]
# Every memory frame gets the same table of angles: the offset between the cell (3, 7) now and the cell (3, 7) two
# frames ago is zero. *When* a memory was made is not in the rotation; it is added to the memory tokens as a
# learned vector, which is the subject of notebook 04.
#
# The setting for this is `rope_k_repeat`. In the cross-attention it is on: the table of the N queries is laid over
# each memory's N keys in turn. In the self-attention it is off, since there are as many keys as queries and nothing
# to repeat. Off where there are more keys, SAM 2 stops at an assertion, and this project at an error that says so.
# What it keeps from happening is a table that goes on: a second memory's keys turned as rows 64 to 127 of a taller
# image would put what stood at the query's own place 64 rows below it, and every other memory somewhere else again.
#
# No weight depends on the grid: the projections work on the channels of single tokens, and angles and sines are
# computed. So with frames of 32 × 32 tokens the same weights fit. SAM 2 makes its table anew whenever the number of
# queries is not that of the table it has, and takes the grid to be a square, as it is told the number of tokens
# alone; the first training config that was published said `feat_sizes: [32, 32]` for frames of 64 × 64 (the newest says
# 64). Here `grid` is an argument,
# so that an oblong one can be told. That the weights fit does not mean that they do as well: see the first question
# below, under "To try".
#
# ## Why values get no position
#
# Values are neither turned nor added to. The reference's title page says [what is known about
# it](../reference/README.md#which-encoding-goes-where). One reason can be seen in numbers: what an attention
# brings back is a *mean* of values. If each were turned by its own place, equal values would no longer have a mean
# equal to themselves: pairs that turn fast would cancel, and what is left would depend on where the cells lie.
# Below, all values are the same vector, and the weights look at a square of more and more cells.

# %%
value = rng.normal(size=head_dim)
turned = rotate(np.tile(value, (tokens, 1)), angles)
sides = np.arange(1, width + 1)
means = np.stack([softmax(np.where((y < side) & (x < side), 0.0, -np.inf)) @ turned for side in sides])
parts = {"all channels": slice(None), "the fastest pair": slice(0, 2)}
left = {name: np.linalg.norm(means[:, part], axis=1) / np.linalg.norm(value[part]) for name, part in parts.items()}

figure, axis = plt.subplots(figsize=(7, 2.8))
axis.plot(sides, np.ones(len(sides)), "-", color=GREY, label="values as they are")
for (name, lengths), colour, marker in zip(left.items(), (BLUE, ORANGE), "os", strict=True):
    axis.plot(sides, lengths, f"{marker}-", color=colour, label=f"values turned, {name}")
axis.set(
    xlabel="side of the square that is looked at (cells)", ylabel="length of the mean,\nrelative", ylim=(0, 1.1)
)
axis.legend(frameon=False)
axis.grid(alpha=0.3)
plt.show()
print(
    f"Found: over all {tokens} cells {left['the fastest pair'][-1]:.0%} of the fastest pair would be left and "
    f"{left['all channels'][-1]:.0%} of all channels; unturned, all of it comes back."
)

# %% [markdown]
# ## Why pointers are not rotated
#
# After the memory tokens come the object pointers: one vector for each remembered frame that sums up the object,
# split into a few tokens. A pointer is about the whole object and stands at no cell. If the table of angles simply
# went on, the first pointer would be turned like the cell in the top left corner, the next one like its neighbour,
# and so on. Which pointer gets which cell would depend on its number in the list, and that number changes from
# frame to frame as the list grows. So SAM 2 leaves the last `num_obj_ptr_tokens` keys as they are.
#
# One should look closely at what this means. A key that is not turned is the same as a key turned by zero: it
# scores like a token at $x = y = 0$. The queries *are* turned, so a pointer's score does vary with the query's
# place. What is gained is that all pointers are treated alike, whatever their order. Below, a real frame of the
# tracker scores its memory twice, the second time with the list of pointers reversed; then we do the same with
# keys that we turn ourselves, as if the pointers were the first tokens of one more frame.

# %%
FRAMES, CLIPS = 8, 10  # of the clips that everything is measured on
clips = [held_out_clip(index, FRAMES) for index in range(CLIPS)]
videos = np.stack([clip.frames for clip in clips], axis=1)
truth = np.stack([clip.masks[:, 0] for clip in clips], axis=1)

tracker = Tracker(config, weights, BACKEND)
seen = list(tracker.follow_batch(videos[:, :1], truth[0, :1].astype(np.float32)))[-1].seen
total, count = len(seen.memory), seen.num_obj_ptr_tokens
order = np.arange(total)
order[-count:] = order[-count:][::-1]
reversed_order = seen._replace(memory=seen.memory[order], memory_pos=seen.memory_pos[order])
print(f"{total} memory tokens, of which the last {count} are pointers")

names = ["layers.0.cross_attn_image.q_rotated", "layers.0.cross_attn_image.k"]
as_if_cells = np.resize(angles, (total, angles.shape[1]))  # the table of a frame, over and over again
as_in_sam2 = np.where(np.arange(total)[:, None] < total - count, as_if_cells, 0)
pointer_scores = {}
for name, turns in (("as SAM 2 does it", as_in_sam2), ("pointers turned too", as_if_cells)):
    for listed, inputs, back in (
        ("listed as usual", seen, slice(None)),
        ("listed in reverse", reversed_order, order),
    ):
        traced = tracker.attention.trace(*inputs, names=names)
        query, key = (traced[name][0, 0] for name in names)
        scores = (query @ rotate(key, turns).T / np.sqrt(head_dim))[:, back]
        pointer_scores[name, listed] = scores[:, -count:]
    one, other = (pointer_scores[name, listed] for listed in ("listed as usual", "listed in reverse"))
    print(
        f"Found: {name}, reversing the list changes a pointer's score by up to {np.abs(one - other).max():.1g}, "
        f"of a range of {np.ptp(one):.0f}."
    )
for layer in range(network.num_layers):
    row = tracker.attention.attention_map(*seen, layer=layer, queries="all")
    print(
        f"layer {layer}: all pointers together get {row[..., -count:].sum(axis=-1).mean():.3%} of the attention, "
        f"and are {count / total:.1%} of the tokens"
    )

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 3), sharey=True)
shown = {title: scores[:, 0].reshape(height, width) for title, scores in pointer_scores.items()}
largest = max(np.abs(heat).max() for heat in shown.values())
for axis, (title, heat) in zip(axes, shown.items(), strict=True):
    image = axis.imshow(heat, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axis.set_title("\n".join(title), fontsize=10)
    axis.set(xlabel="query's column x (cells)", xticks=(0, 5, 10, 15), yticks=(0, 5, 10, 15))
axes[0].set_ylabel("query's row y (cells)")
figure.colorbar(image, ax=list(axes), label="score", shrink=0.9)
plt.show()


# %% [markdown]
# Each picture shows one and the same pointer token, the first one of the prompted frame: its score with the
# queries of all cells, in the first layer. In the left pair the order of the list makes no difference, up to
# rounding. In the right pair it does (listed first, the token falls on the corner cell, where a turn is no turn,
# so that the third picture equals the first; listed last, it falls on another cell): whatever the tracker had
# learned about this pointer would change its meaning with every frame that joins the list. What the tracker loses
# by this we measure below. With these weights it can hardly be anything: the first layer hardly looks at pointers, and the
# last one looks at a single token, the first one of the prompted frame's pointer. That is listed first, on the corner cell,
# so it is not turned in either case. The row says nothing of a tracker that looks at other pointers.
#
# ## What breaks when each is switched off
#
# Now the tracker itself. It was trained with everything on; we switch one thing off at a time, without training
# again, and track the same held-out clips. The switches:
#
# - **Rotation** is a field of the config, for self-attention and cross-attention.
# - **The sine encoding at the input** (a tenth of it is added to the frame's tokens) is the field
#   `pos_enc_at_input`.
# - **The sine encoding in the memory** has no switch of its own, since it reaches the network together with the
#   encoding of time. `Tracker.attention` is called with the finished tokens, so a small function in its place can
#   take the sine part off again.
# - **Pointers** are removed by `use_obj_ptrs_in_encoder`. To *turn* them there is a backend of our own, registered
#   by a name: the NumPy network with another cross-attention. (It runs in NumPy whatever `BACKEND` says.)


# %%
class TurnedPointers(RoPEAttention):
    # All keys are rotated, as if the pointers were the first tokens of one more frame.
    def _encode(self, query, key, num_k_exclude_rope, grid, record):
        angles = rotary_angles(*grid, query.shape[-1], self.rope_theta)
        return rotate(query, angles), rotate(key, np.resize(angles, (key.shape[-2], angles.shape[1])))


class TurnedPointersBackend:
    def build(self, config, weights, device, dtype):
        network = MemoryAttention.from_config(config.memory_attention)
        for layer in network.layers:
            layer.cross_attn_image = TurnedPointers(**config.memory_attention.layer.cross_attention.arguments())
        prefix = "memory_attention."
        network.load_parameters({name.removeprefix(prefix): array for name, array in weights.items()})
        return lambda *inputs: network(*inputs[:-1])  # the last one would record the steps


def without_sine_in_memory(tracker):
    attention = tracker.attention
    place = sine_encoding_2d(height, width, network.memory_dim).reshape(tokens, 1, -1).astype(np.float32)

    def call(curr, memory, curr_pos, memory_pos, num_obj_ptr_tokens, grid):
        frames = (len(memory) - num_obj_ptr_tokens) // tokens
        nothing = np.zeros((num_obj_ptr_tokens, 1, network.memory_dim), np.float32)
        sine = tracker.array(np.concatenate([np.tile(place, (frames, 1, 1)), nothing]))
        return attention(curr, memory, curr_pos, memory_pos - sine, num_obj_ptr_tokens, grid)

    tracker.attention = call
    return tracker


def without_sine_at_input(config):
    changed = config.memory_attention.model_copy(update={"pos_enc_at_input": False})
    return config.with_changes(memory_attention=changed)


ma.register_backend("turned-pointers", TurnedPointersBackend())
no_pointers = config.with_changes(
    memory_bank=config.memory_bank.model_copy(update={"use_obj_ptrs_in_encoder": False})
)
no_place_at_all = without_sine_at_input(without_rotation)

trackers = {
    "everything as trained": tracker,
    "no rotation in self-attention": Tracker(with_rotation(config, False, True), weights, BACKEND),
    "no rotation in cross-attention": Tracker(with_rotation(config, True, False), weights, BACKEND),
    "no rotation": Tracker(without_rotation, weights, BACKEND),
    "no sine at the input": Tracker(without_sine_at_input(config), weights, BACKEND),
    "no sine in the memory": without_sine_in_memory(Tracker(config, weights, BACKEND)),
    "no place at all": without_sine_in_memory(Tracker(no_place_at_all, weights, BACKEND)),
    "pointers turned": Tracker(config, weights, "turned-pointers"),
    "no pointers": Tracker(no_pointers, weights, BACKEND),
    "memory of zeros": Tracker(config, weights, BACKEND, forgetful=True),
}


# %% [markdown]
# The measure is the IoU of the mask found and the true mask: the pixels they share, over the pixels of either. A
# clip counts by its mean over the frames in which the target is in sight, without frame 0, where the mask is
# given. Several clips at a time are tracked as one batch. The last row, a memory of zeros, is what the network
# knows without remembering: a floor to compare with.


# %%
def mean_ious(tracker):
    # One number for each clip.
    ious = []
    for some in np.split(np.arange(CLIPS), 2):
        steps = tracker.follow_batch(videos[:, some], truth[0, some].astype(np.float32))
        found = np.stack([step.logits > 0 for step in steps if step.frame])
        ious.append(np.nanmean(iou(found, truth[1:, some]), axis=0))
    return np.concatenate(ious)


results = {name: mean_ious(one) for name, one in trackers.items()}
base = results["everything as trained"]
print(f"{CLIPS} held-out clips of {FRAMES} frames; change: mean over clips ± its standard error\n")
print(f"{'':32s}{'mean IoU':>9s}   {'change':>16s}   clips worse by more than 0.01")
for name, ious in results.items():
    change = ious - base
    error = change.std(ddof=1) / np.sqrt(CLIPS)
    said = (
        ""
        if name == "everything as trained"
        else (f"{change.mean():+.3f} ± {error:.3f}   {(change < -0.01).sum():3d} of {CLIPS}")
    )
    print(f"{name:32s}{ious.mean():9.3f}   {said}")

# %%
figure, axis = plt.subplots(figsize=(9, 4.4))
for line, ious in enumerate(results.values()):
    axis.plot(ious, np.full(CLIPS, line), "o", color=GREY, alpha=0.6, markersize=5)
    axis.plot(ious.mean(), line, "D", color=ORANGE if line else BLUE, markersize=9)
axis.axvline(base.mean(), color=BLUE, linestyle="--", linewidth=1)
axis.set_yticks(range(len(results)), list(results))
axis.invert_yaxis()
axis.set_xlim(-0.02, 1)
axis.set_xlabel("IoU (grey: each clip; diamond: their mean)")
axis.grid(axis="x", alpha=0.3)
plt.show()

# %% [markdown]
# ## How to read this
#
# - The clips are few. A change that is not several times its standard error is no finding, in either direction.
# - A switch turned off at test time measures how far *these weights rely* on an encoding. A network trained
#   without it might learn to do without. Equally, a small change says that this tracker on these clips could spare
#   the encoding, not that SAM 2 could.
# - The encodings can stand in for each other: without rotation a sine may still tell places apart. If so, "no
#   place at all" must lose more than "no rotation" does, and the last line below says whether it does here.
# - A tracker can also recognise its target by looks alone. In our clips the distractors look different from the
#   target, which makes this easier than in many real videos.

# %%
by_loss = sorted(
    (name for name in results if name not in ("everything as trained", "memory of zeros")),
    key=lambda name: (results[name] - base).mean(),
)
clear = [
    name
    for name in by_loss
    if (base - results[name]).mean() > max(0.01, 2 * (base - results[name]).std(ddof=1) / np.sqrt(CLIPS))
]
print("Found: lost most, in order:", "; ".join(by_loss[:4]) + ".")
print("Found: lost more than 0.01 and twice the standard error:", ("; ".join(clear) or "none") + ".")
rest = results["no place at all"] - results["no rotation"]
error = rest.std(ddof=1) / np.sqrt(CLIPS)
said = "no difference" if abs(rest.mean()) < 2 * error else "a loss" if rest.mean() < 0 else "no loss, but a gain"
print(
    f"Found: once the rotation is gone, taking the sines too changes {rest.mean():+.3f} ± {error:.3f}: that is {said}."
)

# %% [markdown]
# ## To try
#
# 1. Multiply the tracker's pixels by two (`config.image_size`) and its grid grows; rotary angles go on growing
#    past those seen in training, while the sine encoding is stretched over the larger grid. Which would you trust?
# 2. Give `rope_theta` another value with `model_copy`, as above for `rotary`: fewer pairs hardly turn if it is
#    small. How far can it move before the IoU falls?
# 3. Turn the *queries* of one frame by an extra three cells in $x$. The derivation above says where they will
#    look.
#
# <details>
# <summary>Answers</summary>
#
# 1. Neither blindly. Offsets between near cells are the same in rotary form on any grid, so what was learned about
#    neighbours goes on to hold; offsets beyond the trained width turn pairs by angles that they never had. The
#    stretched sine stays in the range it was trained in, but a step of one cell is now half of what it was. What
#    matters most is another thing: an object of the same pixels covers four times as many cells.
# 2. Only the slow pairs change much: the first frequency is 1 for every theta. Measure it with `mean_ious`. Far
#    from the trained value the slow pairs, which were as good as unturned, begin to turn, and content that was
#    compared without regard to place no longer is.
# 3. $R((m + 3)\theta)\,q$ meets $R(n\theta)\,k$ as $q^\top R((n - m - 3)\theta)\,k$: as if the query stood three
#    cells farther right. Every pattern moves three cells to the right with it, in all memories, and falls off the
#    grid's edge where it has to. Pointers, which are not turned, are met as from there too.
#
# </details>
