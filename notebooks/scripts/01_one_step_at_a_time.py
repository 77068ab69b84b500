# %% [markdown]
# # One step at a time
#
# SAM 2 follows an object through a video because every frame can look back. The part that looks back is called
# *memory attention*. A frame comes in as a grid of tokens, each a vector of numbers that describes one patch of
# the image. The tokens look at each other, then at tokens of earlier frames, then each passes a small network by
# itself; and this is repeated four times. (A frame that somebody prompted ahead of time can be seen too, [before its
# turn](../reference/README.md#which-frame-has-which-slot).)
#
# Why look back at all, rather than hand on the last mask as the prompt of the next frame? A mask says where the
# object was one frame ago, and not what it looked like. Each frame would start from the errors of the one before, so they
# would add up; and once the object is hidden the mask is empty, and nothing is left to find it by. A memory keeps the
# looks beside the mask, the frame that somebody prompted stays in sight, and several frames are asked at once.
# What a tracker loses without them is measured in [notebook 04](04_the_memory_bank.ipynb).
#
# This notebook takes one frame through it, one step at a time. Every step is a function of a few lines in the
# folder `reference/`, which has [a title page](../reference/README.md), and every step has a twin in PyTorch in
# the folder `accelerated/`. The word in the next cell says which of the two computes the traced steps. The single
# functions that are called below are always those to be read, the reference's.

# %%
BACKEND = "reference"

# %%
import matplotlib.pyplot as plt
import numpy as np

import memory_attention as ma
from memory_attention.pictures.photographs import clip_inputs, moving_crop
from memory_attention.reference import attention, feed_forward, norm, position

plt.rcParams.update({"figure.dpi": 80, "font.size": 10, "figure.constrained_layout.use": True})
BLUE, ORANGE = "#0072b2", "#d55e00"

# %% [markdown]
# ## A frame, its memories, and a model
#
# A clip is made by moving a crop over a photograph, 256 pixels wide. Cut into patches of 16 pixels it becomes a
# grid of 16 × 16 tokens. There are four frames: the last is the current one, and the three before it are its
# memories. The object is a disc in the photograph's middle, outlined below.
#
# In SAM 2 tokens come from an image encoder, memories from a memory encoder that is told the mask, and object
# pointers from the mask decoder ([where memories and pointers come
# from](../reference/README.md#where-memories-and-pointers-come-from)). Here random projections stand in for all
# three: of a patch's pixels for the tokens, of the tokens and the mask for the memories. A pointer is the mean of
# the object's tokens.
#
# In the shapes below N counts tokens of the frame, M tokens of memory, C and C_m their channels, and B objects.
# Each object has a memory of its own, and objects do not see each other; here there is one.
#
# The order of the axes changes on the way, because convolutions want maps and attention wants lists:
#
# | Where | The frame | A memory |
# | --- | --- | --- |
# | encoders, memory bank, mask decoder | [B, C, h, w] | [B, C_m, h, w] |
# | call of the memory attention, and its output | [N, B, C] | [M, B, C_m] |
# | inside, from layer to layer (`batch_first`) | [B, N, C] | [B, M, C_m] |
# | inside an attention, in heads | [B, H, N, d] | [B, H, M, d] |
#
# Why the call has the tokens first, is not said; PyTorch's own attention had them so. An array [B, N, C] handed to the
# call would be B tokens of N objects, who do not see each other. Nearly always that is an error, since the memory's
# batch or the grid does not fit. With one object, as many memory tokens as the frame has and no `grid`, it runs: each
# token then attends to itself and to one token of memory.
#
# The network is that of SAM 2.1. Its weights here are **random**: nothing was learned, so do not look for meaning
# in *where* it looks. What you can see is *how* it computes.

# %%
config = ma.load_config("sam2.1_hiera_t").with_changes(image_size=256)
clip = moving_crop("astronaut", frames=4, size=256)
inputs = clip_inputs(config, clip)
model = ma.load(config, BACKEND, seed=1)

print("curr      [N, B, C]  ", inputs.curr.shape)
print("memory    [M, B, C_m]", inputs.memory.shape, "of which pointers:", inputs.num_obj_ptr_tokens)

figure, axes = plt.subplots(1, 4, figsize=(10, 2.8))
for number, (axis, frame, mask) in enumerate(zip(axes, clip.frames, clip.masks, strict=True)):
    axis.imshow(frame)
    axis.contour(mask, levels=[0.5], colors=ORANGE)
    axis.set_title("current frame" if number == 3 else f"memory {number + 1}")
    axis.axis("off")
plt.show()

# %% [markdown]
# `trace` gives the output of every step under its name. The names are the same in both backends, so the two can be
# compared step by step. `switch_the_flag` does that: it loads the same network with the other word, runs it, and
# says how far the steps of these names are from those above, relative to the largest number of the step. Float32
# has about seven digits, so a difference near $10^{-7}$ is rounding.

# %%
OTHER = "accelerated" if BACKEND == "reference" else "reference"
steps = model.trace(*inputs)


def switch_the_flag(*names):
    switched = ma.load(config, OTHER, seed=1)
    for name, again in switched.trace(*inputs, names=names).items():
        difference = np.abs(again - steps[name]).max() / np.abs(steps[name]).max()
        print(f"{name:38} {again.shape!s:20} {OTHER} and {BACKEND} differ by {difference:.0e}")


print(len(steps), "steps, from", next(iter(steps)), "to", list(steps)[-1])

# %% [markdown]
# ## 1. Norm
#
# Before anything looks at the tokens they are brought to one scale. Layer norm gives every token mean 0 and
# variance 1 over its channels, then scales and shifts each channel by learned numbers:
#
# $$y = \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}} \cdot w + b$$

# %%
x = steps["input"]  # [B, N, C]: curr plus a tenth of its position encoding
prefix = "memory_attention.layers.0.norm1"
y = norm.layer_norm(x, model.weights[f"{prefix}.weight"], model.weights[f"{prefix}.bias"])
assert np.allclose(y, steps["layers.0.norm1"], atol=1e-5)  # the function is the traced step

figure, axis = plt.subplots(figsize=(6, 3))
for tokens, marker, colour, label in ((x, ".", BLUE, "before"), (y, "o", ORANGE, "after")):
    axis.plot(tokens.mean(axis=-1).ravel(), tokens.std(axis=-1).ravel(), marker, color=colour, label=label)
axis.set(xlabel="mean of a token over its channels", ylabel="standard deviation", ylim=(0, None))
axis.set_title(f"the norm: each of {x.shape[1]} tokens is a dot")
axis.legend(frameon=False)
plt.show()
print(
    f"Found: tokens had standard deviations from {x.std(axis=-1).min():.2f} to {x.std(axis=-1).max():.2f}; ",
    end="",
)
print(f"after the norm from {y.std(axis=-1).min():.3f} to {y.std(axis=-1).max():.3f}.")

# %%
switch_the_flag("input", "layers.0.norm1")

# %% [markdown]
# Dim patches and bright ones, flat ones and busy ones: after the norm all have the same spread.
#
# ## 2. Where a token is
#
# Attention does not know the order of its tokens: shuffle them, and it gives the same result, shuffled. So places
# are encoded. SAM 2 uses two encodings ([which goes where](../reference/README.md#which-encoding-goes-where)). The
# first is *added*: sines and cosines of the row in one half of the channels, of the column in the other half, from
# fast to slow. Rows are counted from one here: for row $r = 1 \dots h$ and channel $i$ of the first $C/2$,
#
# $$\varphi_i = \frac{2\pi r}{h + 10^{-6}} \cdot 10000^{-2\lfloor i/2 \rfloor / (C/2)},\qquad
# e_i = \sin\varphi_i \text{ for even } i,\quad \cos\varphi_i \text{ for odd } i.$$

# %%
encoding = position.sine_encoding_2d(16, 16, 256)  # [h, w, C]

figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), sharey=True)
for axis, channel in zip(axes, (0, 20, 128, 148), strict=True):
    image = axis.imshow(encoding[..., channel], cmap="RdBu_r", vmin=-1, vmax=1, extent=(0.5, 16.5, 16.5, 0.5))
    half = "row" if channel < 128 else "column"
    axis.set(title=f"channel {channel}: {half}", xlabel="column, from 1", xticks=[1, 8, 16], yticks=[1, 8, 16])
axes[0].set_ylabel("row, from 1")
figure.colorbar(image, ax=axes, label="value", shrink=0.9)
plt.show()

long, token = (np.median(np.linalg.norm(each, axis=-1)) for each in (encoding, inputs.curr))
print(f"Found: an encoding is {long:.1f} long, at every place, and a token of this frame {token:.1f}: ", end="")
print(f"added whole it would be {long / token:.0%} of the token, a tenth of it is {long / token / 10:.0%}.")

# %% [markdown]
# Every pair of sine and cosine has length one, so the encoding of every place is $\sqrt{C/2}$ long. SAM 2 adds *a
# tenth* of it to the frame's tokens, once, before the first layer: a hint of the place that does not drown what
# the token says. Why just a tenth, [nobody has written down](../reference/README.md#which-encoding-goes-where).

# %%
from memory_attention.accelerated import position as fast_position

twin = fast_position.sine_encoding_2d(16, 16, 256).numpy()
print("sine_encoding_2d, largest difference between the twins:", abs(encoding - twin).max())

# %% [markdown]
# The second is *rotary*, and acts on queries and keys inside the attention. Channels are taken in pairs, and each
# pair is a point in the plane that is turned by an angle: the token's column, from 0 here, times a frequency for
# the first half of the pairs, its row for the second half.
#
# $$(a, b) \mapsto (a\cos\varphi - b\sin\varphi,\; a\sin\varphi + b\cos\varphi)$$
#
# Turning leaves every length as it is. And a score between two turned vectors depends on the *difference* of their
# angles only, that is on how far the tokens are from each other and not on where they are. The picture shows the
# score between one query and the same key placed everywhere on the grid.

# %%
angles = position.rotary_angles(16, 16, 64)  # [N, d/2]
vector = np.random.default_rng(0).standard_normal(64)
everywhere = position.rotate(np.tile(vector, (256, 1)), angles)
scores = (everywhere @ everywhere.T / (vector @ vector)).reshape(16, 16, 16, 16)

figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), sharey=True)
for axis, (row, column) in zip(axes, ((8, 8), (3, 11), (12, 2)), strict=True):
    image = axis.imshow(scores[row, column], cmap="viridis", vmin=scores.min(), vmax=1)
    axis.plot(column, row, "k+", markersize=9)
    axis.set(
        title=f"query at row {row}, column {column}",
        xlabel="column of the key",
        xticks=[0, 5, 10, 15],
        yticks=[0, 5, 10, 15],
    )
axes[0].set_ylabel("row of the key")
figure.colorbar(image, ax=axes, label="score, relative to its peak")
plt.show()
one_right = scores[8, 8, 8, 9], scores[3, 11, 3, 12], scores[12, 2, 12, 3]
print(
    f"Found: one column to the right of the query the score is {one_right[0]:.6f}, wherever the query stands; ",
    end="",
)
print(f"the three above differ by {np.ptp(one_right):.0e}.")

# %%
switch_the_flag("layers.0.self_attn.q_rotated", "layers.0.self_attn.k_rotated")

# %% [markdown]
# ## 3. Attention
#
# Each token asks a question, its *query* $q$; each token has a label, its *key* $k$, and something to say, its
# *value* $v$. All three are linear maps of tokens, each with a matrix and a bias. A query is compared with all
# keys, softmax makes of the scores (or *logits*) positive weights that sum to one, and the answer is the mean of
# the values with these weights. A last linear map brings it back to the tokens' channels:
#
# $$\mathrm{attention}(x_q, x_k, x_v) = W_o \left(\mathrm{softmax}\!\left(\frac{q\,k^{\mathsf T}}{\sqrt d}\right)
# v\right) + b_o,$$
# $$q = R\,(W_q x_q + b_q), \qquad k = R\,(W_k x_k + b_k), \qquad v = W_v x_v + b_v.$$
#
# $R$ is the rotation by each token's own place. Values are not turned, and no encoding is added to them: a place
# says *where* to look, a value *what* is brought back, and a mean over turned values would depend on where each
# stood. [Notebook 02](02_where_am_i.ipynb) tries it.

# %%
q, k, v = (steps[f"layers.0.self_attn.{name}"] for name in ("q_rotated", "k_rotated", "v"))
print("q, k, v [B, H, N, d]:", q.shape, k.shape, v.shape)

textbook = attention.scaled_dot_product_attention(q, k, v)
tiled = attention.tiled_scaled_dot_product_attention(q, k, v, query_tile=64, key_tile=32)
assert np.allclose(attention.merge_heads(textbook), steps["layers.0.self_attn.attended"], atol=1e-5)
print(f"with all {q.shape[2] * k.shape[2]} scores at once or 64 × 32 at a time: ", end="")
print(f"the largest difference is {abs(textbook - tiled).max():.0e}")

weights = attention.softmax(q[0, 0, 136] @ k[0, 0].T / np.sqrt(q.shape[-1]))
figure, axis = plt.subplots(figsize=(8, 2.4))
axis.bar(np.arange(256), weights, width=1.0, color=BLUE)
axis.axhline(1 / 256, color=ORANGE, linewidth=1.5, label="uniform: 1 / 256")
axis.set(xlabel="key (token of the frame, row by row)", ylabel="weight", xlim=(-1, 256))
axis.set_title(f"the weights of query 136 sum to {weights.sum():.3f}")
axis.legend(frameon=False)
plt.show()

# %%
switch_the_flag("layers.0.self_attn.v", "layers.0.self_attn.attended", "layers.0.self_attn.out")

# %% [markdown]
# ### Why the root of d
#
# A score is a sum of $d$ products. If the numbers of $q$ and $k$ vary by about one and independently, so does each
# product, and the sum varies by $\sqrt d$. Softmax of numbers that differ by 16 is a choice of one key. Divided by
# $\sqrt d$, scores vary by about one however wide a head is, and softmax starts out as a mean over many keys. (It
# can still become a choice, where the weights learn longer queries.) This matters for learning: the gradient
# through softmax is $p\,(1 - p)$, and vanishes where $p$ is 0 or 1 ([notebook 08](08_backwards.ipynb)).
#
# Drawn numbers first, then the queries and keys of this layer.


# %%
def tokens_looked_at(weights):
    """exp of the entropy: n for weights that are spread evenly over n keys."""
    return np.exp(-(weights * np.log(np.maximum(weights, 1e-30))).sum(axis=-1))


rng = np.random.default_rng(0)
widths = np.array([4, 16, 64, 256, 1024])
drawn = [rng.standard_normal((2, 200, d)) for d in widths]
drawn = [(a @ b.T) for a, b in drawn]
divided, plain = (
    [tokens_looked_at(attention.softmax(scores / root)).mean() for scores, root in zip(drawn, roots, strict=True)]
    for roots in (np.sqrt(widths), np.ones(len(widths)))
)

figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
axes[0].loglog(widths, [scores.std() for scores in drawn], "o-", color=BLUE, label="measured")
axes[0].loglog(widths, np.sqrt(widths), "--", color="black", label="$\\sqrt{d}$")
axes[0].set(xlabel="channels d of a head", ylabel="standard deviation", title="how much scores vary")
axes[1].loglog(widths, divided, "o-", color=BLUE, label="divided by $\\sqrt{d}$")
axes[1].loglog(widths, plain, "s-", color=ORANGE, label="as they are")
axes[1].set(xlabel="channels d of a head", ylabel="tokens looked at", title="among 200 keys", ylim=(0.8, 300))
axes[0].set_yticks([2, 4, 8, 16, 32], [2, 4, 8, 16, 32])
axes[1].set_yticks([1, 10, 100], [1, 10, 100])
for axis in axes:
    axis.set_xticks(widths, widths)
    axis.minorticks_off()
    axis.legend(frameon=False)
plt.show()

scores = q[0, 0] @ k[0, 0].T
with_root, without = (
    tokens_looked_at(attention.softmax(scores / root)).mean() for root in (np.sqrt(q.shape[-1]), 1)
)
print(
    f"Found: at d = 256 drawn queries look at {divided[3]:.0f} of 200 keys, and at {plain[3]:.1f} without the root; ",
    end="",
)
print(f"those of this layer at {with_root:.0f} of 256, and at {without:.1f} without it.")

# %% [markdown]
# ### What several heads are for
#
# A query has one softmax row, and so one mean: it cannot bring back what stands here and, apart from it, what
# stands there. With $H$ heads the channels are cut into $H$ parts, each with its own row, and $W_o$ puts the parts
# together. The products cost no more, since each head is as much narrower; only there are $H$ tables of softmax weights
# in place of one. Each head is turned by frequencies of its own width: eight heads of 32 channels would have 8 for $x$ and 8
# for $y$, the same in all heads, in place of 64 and 64 over nearly the same range. SAM 2 has **one** head of 256 channels here, and
# several in its other parts: in the mask decoder eight, of 32 channels (16 between tokens and image), in the image
# encoder one to sixteen, each 56 to 96 wide depending on the model. (Why one, its paper does not say. One wide head is
# what lets memories of 64 channels be averaged before they are projected, at less cost: [notebook
# 05](05_softmax_in_tiles.ipynb).)
#
# The same weights can be run with four heads, since the matrices have the same shapes. Below is where one query
# looks with one head, and with each of four.


# %%
def with_heads(count):
    layer = config.memory_attention.layer
    heads = layer.self_attention.model_copy(update={"num_heads": count})
    layer = layer.model_copy(update={"self_attention": heads})
    return config.with_changes(memory_attention=config.memory_attention.model_copy(update={"layer": layer}))


one = model.attention_map(*inputs, layer=0, kind="self", queries=136)[0, :, 0]
four = ma.load(with_heads(4), BACKEND, seed=1).attention_map(*inputs, layer=0, kind="self", queries=136)[0, :, 0]
panels = {"one head": one[0]} | {f"head {number + 1} of 4": row for number, row in enumerate(four)}

figure, axes = plt.subplots(1, 5, figsize=(10, 2.3))
for axis, (title, row) in zip(axes, panels.items(), strict=True):
    image = axis.imshow(row.reshape(16, 16) * 256, cmap="viridis", vmin=0, vmax=max(one.max(), four.max()) * 256)
    axis.plot(
        136 % 16, 136 // 16, "s", markersize=6, markerfacecolor="none", markeredgecolor=ORANGE, markeredgewidth=2
    )
    axis.set(title=title, xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="attention,\nmultiples of uniform", aspect=12)
plt.show()
favourites = four.argmax(axis=1)
print("Found: the four heads look most at the tokens", ", ".join(map(str, favourites)), end="; ")
print(f"{len(set(favourites))} different ones, where one head had to be content with token {one[0].argmax()}.")


# %% [markdown]
# ## 4. Self-attention
#
# In the first block of a layer the tokens of the current frame look at each other, so that each knows what it is
# part of before the memory is asked. Queries, keys and values all come from the frame; what the attention gives is
# *added* to the tokens:
#
# $$y = \mathrm{norm}_1(x), \qquad x \leftarrow x + \mathrm{attention}(y, y, y)$$
#
# Has the image encoder not mixed the frame already? It has, but it knows of no object. Cross-attention tells each
# token by itself what the memory holds for it, and from the second layer on self-attention is where a token hears
# what the others were told: a few tokens that are sure of the object can tell the rest of it. (SAM 2's paper gives no
# reason for the order.)
#
# *And without it?* Known: the paper has no such run; beside two cross-attentions, a third self-attention did worse than
# two (table 10e of its first version). A reasonable explanation: each token would still get its own answer from the memory,
# but one with an unclear answer could not ask the others any more.
#
# `attention_map` gives the softmax rows of the queries one asks for, drawn here over the frame, all on one scale.


# %%
def over(axis, frame, heat, largest, title):
    axis.imshow(frame.mean(axis=-1), cmap="gray", vmin=0, vmax=1, extent=(-0.5, 15.5, 15.5, -0.5))
    image = axis.imshow(heat, cmap="viridis", alpha=0.7, vmin=0, vmax=largest)
    axis.set_title(title)
    axis.axis("off")
    return image


queries = [2 * 16 + 8, 8 * 16 + 8, 13 * 16 + 4]
rows = model.attention_map(*inputs, layer=0, kind="self", queries=queries)[0, 0]
print("[queries, N]:", rows.shape)

figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.9))
for axis, query, row in zip(axes, queries, rows, strict=True):
    title = f"query at row {query // 16}, column {query % 16}"
    image = over(axis, clip.frames[-1], row.reshape(16, 16) * 256, rows.max() * 256, title)
    for colour, wide in (("white", 4), (ORANGE, 2)):
        axis.plot(query % 16, query // 16, "s", markersize=9, mfc="none", mec=colour, mew=wide)
figure.colorbar(image, ax=axes, label="attention, multiples of uniform")
plt.show()
looked_at = tokens_looked_at(rows)
print("Found: the three queries look at", ", ".join(f"{count:.0f}" for count in looked_at), end=" ")
print("of 256 tokens, and no two of them alike: with random weights the choice has no meaning yet.")

# %%
switch_the_flag("layers.0.self_attention")

# %% [markdown]
# ## 5. Cross-attention
#
# In the second block the same tokens look at the memory: all tokens of the three earlier frames, and after them
# the object pointers, short summaries of the object. There are sixteen of them here, as SAM 2 has in a long video
# (the oldest is repeated to make so many), and each is cut into four tokens of 64 channels. Keys and values come
# from the memory, which has 64 channels instead of 256:
#
# $$x \leftarrow x + \mathrm{attention}\big(\mathrm{norm}_2(x),\; m + p,\; m\big)$$
#
# Here $m$ are the memory tokens and $p$ their positions, which go into the keys only. Each memory frame is a grid
# like the current one, and its keys are rotated as such (`rope_k_repeat`). Pointers have no place in the image, so
# they are not rotated. There is no mask: every query may look at every token of the memory. What is not to be seen
# is not in it.
#
# The three panels are parts of *one* softmax row, so their colours have one scale.

# %%
row = model.attention_map(*inputs, layer=0, kind="cross", queries=queries[1])[0, 0, 0]
pointers = row[-inputs.num_obj_ptr_tokens :]
spatial = row[: -inputs.num_obj_ptr_tokens].reshape(3, 16, 16)

figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.9))
for number, (axis, share) in enumerate(zip(axes, spatial, strict=True)):
    title = f"memory {number + 1}: {share.sum():.0%} of the attention"
    image = over(axis, clip.frames[number], share * len(row), spatial.max() * len(row), title)
figure.colorbar(image, ax=axes, label="attention, multiples of uniform")
plt.show()
print(f"Found: of one softmax over {len(row)} tokens the pointers get {pointers.sum():.1%}, ", end="")
print(f"and are {len(pointers) / len(row):.1%} of the tokens; the rest is the memories'.")

# %%
switch_the_flag(
    "layers.0.cross_attn_image.k_rotated", "layers.0.cross_attn_image.attended", "layers.0.cross_attention"
)

# %% [markdown]
# ## 6. Feed-forward
#
# In the third block nobody looks at anybody. Each token passes the same small network: up to 2048 channels,
# everything negative is cut off, and down to 256 again. The result is added to the token. Attention only takes
# means of linear maps; here each token can make of what it brought back something that is no such mean. Of the numbers
# that a layer has learned, 71 % are in this network ([all its
# weights](../reference/README.md#parameters)).
#
# $$x \leftarrow x + W_2\,\max(0,\; W_1\,\mathrm{norm}_3(x) + b_1) + b_2$$

# %%
before = steps["layers.0.linear1"]
hidden = feed_forward.relu(before)
assert np.allclose(hidden, steps["layers.0.activation"], atol=1e-5)
print(steps["layers.0.norm3"].shape, "→", hidden.shape, "→", steps["layers.0.linear2"].shape)

bins = np.linspace(-np.abs(before).max(), np.abs(before).max(), 101)
figure, axis = plt.subplots(figsize=(8, 2.6))
axis.hist(before.ravel(), bins=bins, color="0.75", label="before")
axis.hist(hidden[hidden > 0], bins=bins, color=BLUE, label="kept")
axis.set(xlabel="hidden number", ylabel="count", title="relu in the first layer")
axis.legend(frameon=False)
plt.show()
print(
    f"Found: {(hidden == 0).mean():.0%} of the hidden numbers are cut off; with random weights that is a matter of chance."
)

# %%
switch_the_flag("layers.0.linear1", "layers.0.activation", "layers.0.linear2", "layers.0.feed_forward")

# %% [markdown]
# ## 7. The stack
#
# Four layers, each three blocks, each of which adds to the tokens. A last norm, and that is all:
#
# $$x_0 = \mathrm{curr} + 0.1\,\mathrm{curr\_pos}, \qquad x_{l+1} = \mathrm{layer}_l(x_l),
# \qquad \mathrm{out} = \mathrm{norm}(x_4)$$
#
# The picture follows the length of the tokens from block to block.

# %%
blocks = {"self_attention": "self", "cross_attention": "cross", "feed_forward": "feed-\nforward"}
names = ["input", *(f"layers.{layer}.{block}" for layer in range(4) for block in blocks), "norm"]
labels = ["input", *(label for _ in range(4) for label in blocks.values()), "norm"]
lengths = np.stack([np.linalg.norm(steps[name][0], axis=-1) for name in names])

figure, axis = plt.subplots(figsize=(9, 3.2))
axis.fill_between(
    range(len(names)), lengths.min(axis=1), lengths.max(axis=1), color=BLUE, alpha=0.2, label="all tokens"
)
axis.plot(np.median(lengths, axis=1), "o-", color=BLUE, label="median")
for layer in range(4):
    axis.axvline(3 * layer + 0.5, color="0.8", linewidth=1)
    axis.text(3 * layer + 2, 1, f"layer {layer}", ha="center", color="0.4")
axis.set_xticks(range(len(names)), labels)
axis.set(ylabel="length of a token", ylim=(0, None), xlim=(-0.4, len(names) - 0.6))
axis.legend(frameon=False, loc="upper left")
plt.show()
medians = np.median(lengths, axis=1)
print(f"Found: what is added makes the median token {medians[-2] / medians[0]:.1f} times as long; ", end="")
print(f"the last norm brings all to one length, {medians[-1]:.1f}.")

# %% [markdown]
# What comes out has the shape of what went in, and takes its place: SAM 2's mask decoder makes the mask of it,
# together with finer features that come straight from the image encoder and have looked at nothing. (On a tracked
# frame its prompt is empty: a point labelled "no point", and a learned vector for "no mask".) The layers differ in
# their weights only. The later ones ask with what the earlier ones brought back.
#
# And the flag once more, for the whole: `compare` gives the error of every step of all four layers, and the bound
# that float32 is allowed. The two backends share no arithmetic; that they agree to a few units of float32's last
# place, at every step, is what the tests of this project check on thousands of drawn cases.

# %%
differences = ma.compare(model, ma.load(config, OTHER, seed=1), *inputs)
errors = np.array([d.relative_error for d in differences])

figure, axis = plt.subplots(figsize=(9, 2.8))
axis.semilogy(np.where(errors > 0, errors, np.nan), ".", color=BLUE, label=f"{OTHER} against {BACKEND}")
axis.semilogy([d.bound for d in differences], color=ORANGE, label="bound of float32")
axis.set(xlabel="step, in order", ylabel="relative error", ylim=(3e-8, 1e-3))
axis.legend(frameon=False, loc="upper left", ncols=2)
plt.show()
print(f"Found: {sum(d.within for d in differences)} of {len(differences)} steps are inside their bounds, ", end="")
print(f"{(errors == 0).sum()} equal to the last digit; the worst error is {errors.max():.0e}.")

# %% [markdown]
# ## Where to go from here
#
# Read the files in the order of this notebook: `norm.py`, `position.py`, `attention.py`, `self_attention.py`,
# `cross_attention.py`, `feed_forward.py`, `layer.py`, `memory_attention.py`. Each stands in `reference/` and in
# `accelerated/`, and the two can be read side by side. Change `BACKEND` above and run everything again. [The next
# notebook](02_where_am_i.ipynb) asks what the encodings are good for, with weights that have learned something.
#
# To try:
#
# 1. Give `load` another `seed`, everywhere: what changes in the pictures, and what does not?
# 2. Set `frames=8`, which gives SAM 2's own number of memories, seven. What becomes of the shares?
# 3. Look at layer 3 instead of layer 0. Is the attention of random weights sharper or flatter there? Can you say
#    why from the lengths of the tokens, or why not?
#
# <details>
# <summary>Answers</summary>
#
# 1. Where it looks changes entirely, and how much of it goes to which memory a little. What is arithmetic stays:
#    the norm's picture, the encodings, the offsets, a sum of one, the agreement of the backends.
# 2. They get smaller, since one softmax is divided among more tokens; with random weights each memory gets about
#    its share of the tokens, one in seven of what the pointers leave. The multiples of uniform stay as they are.
# 3. Self-attention is about as sharp in layer 3 as in layer 0, though its tokens are twice as long. The lengths do
#    not decide it: every block begins with a norm, which brings all tokens to one length, so queries and keys are
#    as long in every layer. (A norm's *weights* could change that, and so could the projections, if they had
#    learned something.)
#
# </details>
