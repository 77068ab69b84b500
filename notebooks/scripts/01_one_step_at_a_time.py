# %% [markdown]
# # One step at a time
#
# SAM 2 follows an object through a video because every frame can look back. The part that looks back is called
# *memory attention*. A frame comes in as a grid of tokens, each a vector of numbers that describes one patch of
# the image. The tokens look at each other, then at tokens of earlier frames, then each passes a small network by
# itself; and this is repeated four times. This notebook takes one frame through it, one step at a time. Every step
# is a function of a few lines in the folder `reference/`, and every step has a twin in PyTorch in the folder
# `accelerated/`. The word in the next cell says which of the two computes the traced steps; the single functions
# that are called below are always those to be read, the reference's.

# %%
BACKEND = "reference"

# %%
import matplotlib.pyplot as plt
import numpy as np

import memory_attention as ma
from memory_attention.pictures.photographs import clip_inputs, moving_crop
from memory_attention.reference import attention, feed_forward, norm, position

plt.rcParams.update({"figure.dpi": 80, "font.size": 10, "figure.constrained_layout.use": True})

# %% [markdown]
# ## A frame, its memories, and a model
#
# A clip is made by moving a crop over a photograph, 256 pixels wide. Cut into patches of 16 pixels it becomes a
# grid of 16 × 16 tokens. There are four frames: the last is the current one, and the three before it are its
# memories. The object is a disc in the photograph's middle; each memory also says where it was.
#
# The network is that of SAM 2.1. Its weights here are **random**: nothing was learned, so do not look for meaning
# in *where* it looks. What you can see is *how* it computes.

# %%
config = ma.load_config("sam2.1_hiera_t").with_changes(image_size=256)
clip = moving_crop("astronaut", frames=4, size=256)
inputs = clip_inputs(config, clip)
model = ma.load(config, BACKEND, seed=1)
other = ma.load(config, "accelerated" if BACKEND == "reference" else "reference", seed=1)

print("curr      [N, B, C]  ", inputs.curr.shape)
print("memory    [M, B, C_m]", inputs.memory.shape, "of which pointers:", inputs.num_obj_ptr_tokens)

figure, axes = plt.subplots(1, 4, figsize=(10, 2.8))
for number, (axis, frame, mask) in enumerate(zip(axes, clip.frames, clip.masks, strict=True)):
    axis.imshow(frame)
    axis.contour(mask, levels=[0.5], colors="#d55e00")
    axis.set_title("current frame" if number == 3 else f"memory {number + 1}")
    axis.axis("off")

# %% [markdown]
# `trace` gives the output of every step under its name. The names are the same in both backends, so the two can be
# compared step by step. The function below does that for the steps whose names begin with a given word. An error
# is relative to the largest number of the step; the bound is what float32 is allowed.

# %%
steps = model.trace(*inputs)
differences = ma.compare(model, other, *inputs)


def switch_the_flag(*names):
    for d in differences:
        if d.step in names:
            print(f"{d.step:38} {d.shape!s:20} relative error {d.relative_error:.0e}, bound {d.bound:.0e}")


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
print(x.shape, "→", y.shape)

figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
for axis, tokens, title in zip(axes, (x, y), ("before", "after"), strict=True):
    axis.hist(tokens.std(axis=-1).ravel(), bins=np.linspace(0, 2.5, 51), color="#0072b2")
    axis.set(title=f"{title} the norm", xlabel="standard deviation of a token")
axes[0].set_ylabel("tokens")
plt.show()

# %%
switch_the_flag("input", "layers.0.norm1")

# %% [markdown]
# Dim patches and bright ones, flat ones and busy ones: after the norm all have the same spread.
#
# ## 2. Where a token is
#
# Attention does not know the order of its tokens: shuffle them, and it gives the same result, shuffled. So places
# are encoded. SAM 2 uses two encodings. The first is *added*: sines and cosines of the row in one half of the
# channels, of the column in the other half, from fast to slow. For row $r$ of $h$ and channel $i$ of the first
# $C/2$,
#
# $$\varphi_i = \frac{2\pi r}{h + 10^{-6}} \cdot 10000^{-2\lfloor i/2 \rfloor / (C/2)},\qquad
# e_i = \sin\varphi_i \text{ for even } i,\quad \cos\varphi_i \text{ for odd } i.$$

# %%
encoding = position.sine_encoding_2d(16, 16, 256)  # [h, w, C]
print(encoding.shape)

figure, axes = plt.subplots(1, 4, figsize=(10, 2.9))
for axis, channel in zip(axes, (0, 20, 128, 148), strict=True):
    image = axis.imshow(encoding[..., channel], cmap="RdBu_r", vmin=-1, vmax=1)
    half = "row" if channel < 128 else "column"
    axis.set(title=f"channel {channel}: the {half}", xlabel="column", ylabel="row")
figure.colorbar(image, ax=axes, label="added to the token")
plt.show()

# %%
from memory_attention.accelerated import position as fast_position

twin = fast_position.sine_encoding_2d(16, 16, 256).numpy()
print("sine_encoding_2d, largest difference between the twins:", abs(encoding - twin).max())

# %% [markdown]
# The second is *rotary*, and acts on queries and keys inside the attention. Channels are taken in pairs, and each
# pair is a point in the plane that is turned by an angle: the token's column times a frequency for the first half
# of the pairs, its row for the second half.
#
# $$(a, b) \mapsto (a\cos\varphi - b\sin\varphi,\; a\sin\varphi + b\cos\varphi)$$
#
# Turning leaves every length as it is. And a score between two turned vectors depends on the *difference* of their
# angles only, that is on how far the tokens are from each other and not on where they are. The picture shows the
# score between one query and the same key placed everywhere on the grid; wherever the query stands, it sees the
# same pattern around itself.

# %%
angles = position.rotary_angles(16, 16, 64)  # [N, d/2]
vector = np.random.default_rng(0).standard_normal(64)
everywhere = position.rotate(np.tile(vector, (256, 1)), angles)
print(
    angles.shape,
    everywhere.shape,
    "lengths kept:",
    np.allclose(np.linalg.norm(everywhere, axis=1), np.linalg.norm(vector)),
)

figure, axes = plt.subplots(1, 3, figsize=(9, 2.9))
for axis, (row, column) in zip(axes, ((8, 8), (3, 11), (12, 2)), strict=True):
    scores = everywhere @ everywhere[row * 16 + column] / (vector @ vector)
    image = axis.imshow(scores.reshape(16, 16), cmap="viridis", vmin=0.5, vmax=1)
    axis.plot(column, row, "k+", markersize=9)
    axis.set(title=f"query at row {row}, column {column}", xlabel="column of the key", ylabel="row of the key")
figure.colorbar(image, ax=axes, label="score, relative to its peak")
plt.show()

# %%
switch_the_flag("layers.0.self_attn.q_rotated", "layers.0.self_attn.k_rotated")

# %% [markdown]
# ## 3. Attention
#
# Each token asks a question, its *query* $q$; each token has a label, its *key* $k$, and something to say, its
# *value* $v$. All three are linear maps of tokens. A query is compared with all keys, softmax makes of the scores
# positive weights that sum to one, and the answer is the mean of the values with these weights:
#
# $$\mathrm{attention}(q, k, v) = \mathrm{softmax}\!\left(\frac{q\,k^{\mathsf T}}{\sqrt d}\right) v$$

# %%
q, k, v = (steps[f"layers.0.self_attn.{name}"] for name in ("q_rotated", "k_rotated", "v"))
print("q, k, v [B, H, N, d]:", q.shape, k.shape, v.shape)

textbook = attention.scaled_dot_product_attention(q, k, v)
tiled = attention.tiled_scaled_dot_product_attention(q, k, v, query_tile=64, key_tile=32)
assert np.allclose(attention.merge_heads(textbook), steps["layers.0.self_attn.attended"], atol=1e-5)
print(
    "with all",
    q.shape[2] * k.shape[2],
    "scores at once or 64 × 32 at a time: largest difference",
    abs(textbook - tiled).max(),
)

weights = attention.softmax(q[0, 0, 136] @ k[0, 0].T / np.sqrt(q.shape[-1]))
figure, axis = plt.subplots(figsize=(8, 2.4))
axis.bar(np.arange(256), weights, width=1.0, color="#0072b2")
axis.axhline(1 / 256, color="#d55e00", linewidth=1, label="all alike: 1 / 256")
axis.set(
    xlabel="key (token of the frame, row by row)",
    ylabel="weight",
    title=f"the weights of query 136 sum to {weights.sum():.3f}",
)
axis.legend(frameon=False)
plt.show()

# %%
switch_the_flag("layers.0.self_attn.v", "layers.0.self_attn.attended", "layers.0.self_attn.out")


# %% [markdown]
# ## 4. Self-attention
#
# In the first block of a layer the tokens of the current frame look at each other. Queries, keys and values all
# come from the frame; what the attention gives is *added* to the tokens:
#
# $$y = \mathrm{norm}_1(x), \qquad x \leftarrow x + W_o\,\mathrm{attention}(W_q y,\; W_k y,\; W_v y)$$
#
# `attention_map` gives the softmax rows of the queries one asks for, drawn here over the frame.


# %%
def over(axis, frame, heat, title):
    axis.imshow(frame.mean(axis=-1), cmap="gray", extent=(-0.5, 15.5, 15.5, -0.5))
    image = axis.imshow(heat, cmap="viridis", alpha=0.7, vmin=0)
    axis.set_title(title)
    axis.axis("off")
    return image


queries = [2 * 16 + 8, 8 * 16 + 8, 13 * 16 + 4]
rows = model.attention_map(*inputs, layer=0, kind="self", queries=queries)
print("[B, H, queries, N]:", rows.shape)

figure, axes = plt.subplots(1, 3, figsize=(9.5, 3))
for axis, query, row in zip(axes, queries, rows[0, 0], strict=True):
    image = over(
        axis, clip.frames[-1], row.reshape(16, 16) * 256, f"query at row {query // 16}, column {query % 16}"
    )
    axis.plot(
        query % 16,
        query // 16,
        "s",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor="#d55e00",
        markeredgewidth=2,
    )
    figure.colorbar(image, ax=axis, label="multiples of uniform")

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
# $$x \leftarrow x + W_o\,\mathrm{attention}\big(W_q\,\mathrm{norm}_2(x),\; W_k (m + p),\; W_v m\big)$$
#
# Here $m$ are the memory tokens and $p$ their positions, which go into the keys only. Each memory frame is a grid
# like the current one, and its keys are rotated as such. Pointers have no place in the image, so they are not
# rotated.

# %%
rows = model.attention_map(*inputs, layer=0, kind="cross", queries=queries[1])[0, 0, 0]
pointers = rows[-inputs.num_obj_ptr_tokens :]
print("softmax over", rows.shape[0], "memory tokens;", f"the pointers get {pointers.sum():.1%}")

figure, axes = plt.subplots(1, 3, figsize=(9.5, 3))
for number, axis in enumerate(axes):
    share = rows[number * 256 : (number + 1) * 256]
    image = over(
        axis, clip.frames[number], share.reshape(16, 16) * len(rows), f"memory {number + 1}: {share.sum():.0%}"
    )
    figure.colorbar(image, ax=axis, label="multiples of uniform")

# %%
switch_the_flag(
    "layers.0.cross_attn_image.k_rotated", "layers.0.cross_attn_image.attended", "layers.0.cross_attention"
)

# %% [markdown]
# ## 6. Feed-forward
#
# In the third block nobody looks at anybody. Each token passes the same small network: up to 2048 channels,
# everything negative is cut off, and down to 256 again. The result is added to the token.
#
# $$x + W_2\,\max(0,\; W_1\,\mathrm{norm}(x) + b_1) + b_2$$

# %%
hidden = feed_forward.relu(steps["layers.0.linear1"])
assert np.allclose(hidden, steps["layers.0.activation"], atol=1e-5)
print(steps["layers.0.norm3"].shape, "→", hidden.shape, "→", steps["layers.0.linear2"].shape)
print(f"{(hidden == 0).mean():.0%} of the hidden numbers are cut off")

figure, axis = plt.subplots(figsize=(8, 2.6))
axis.hist(steps["layers.0.linear1"].ravel(), bins=120, color="0.75", label="before")
axis.hist(hidden[hidden > 0], bins=60, color="#0072b2", alpha=0.8, label="kept")
axis.set(xlabel="hidden number", ylabel="count", title="relu in the first layer")
axis.legend(frameon=False)
plt.show()

# %%
switch_the_flag("layers.0.linear1", "layers.0.activation", "layers.0.linear2", "layers.0.feed_forward")

# %% [markdown]
# ## 7. The stack
#
# Four layers, each three blocks, each of which adds to the tokens. A last norm, and that is all:
#
# $$x_0 = \mathrm{curr} + 0.1\,\mathrm{pos}, \qquad x_{l+1} = \mathrm{layer}_l(x_l), \qquad \mathrm{out} = \mathrm{norm}(x_4)$$
#
# The picture follows the length of the tokens from block to block: what is added makes them longer, and the last
# norm brings all to one length.

# %%
names = (
    ["input"]
    + [f"layers.{i}.{block}" for i in range(4) for block in ("self_attention", "cross_attention", "feed_forward")]
    + ["norm"]
)
lengths = np.stack([np.linalg.norm(steps[name][0], axis=-1) for name in names])

figure, axis = plt.subplots(figsize=(9, 3.4))
axis.fill_between(
    range(len(names)), lengths.min(axis=1), lengths.max(axis=1), color="#0072b2", alpha=0.2, label="all tokens"
)
axis.plot(np.median(lengths, axis=1), "o-", color="#0072b2", label="median")
axis.set_xticks(
    range(len(names)),
    [name.replace("layers.", "layer ").replace(".", "\n").replace("_", "-\n") for name in names],
    fontsize=8,
)
axis.set(ylabel="length of a token", ylim=(0, None))
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# And the flag once more, for the whole: the largest error of every step of all four layers, in one picture. The
# two backends share no arithmetic; that they agree to a few units of float32's last place, at every step, is what
# the tests of this project check on thousands of drawn cases.

# %%
figure, axis = plt.subplots(figsize=(9, 2.8))
errors = np.array([d.relative_error for d in differences])
axis.semilogy(np.maximum(errors, 1e-9), ".", color="#0072b2", label=f"{BACKEND} against {other.backend}")
axis.semilogy([d.bound for d in differences], color="#d55e00", label="bound of float32")
axis.set(xlabel="step, in order", ylabel="relative error", ylim=(5e-10, 1e-3))
axis.legend(frameon=False)
print(sum(d.within for d in differences), "of", len(differences), "steps inside their bounds")

# %% [markdown]
# ## Where to go from here
#
# Read the files in the order of this notebook: `norm.py`, `position.py`, `attention.py`, `self_attention.py`,
# `cross_attention.py`, `feed_forward.py`, `layer.py`, `memory_attention.py`. Each stands in `reference/` and in
# `accelerated/`, and the two can be read side by side. Change `BACKEND` above and run everything again. The next
# notebook, `02_where_am_i.ipynb`, asks what the encodings are good for, with weights that have learned something.
#
# Three things to try. Give `load` another `seed`: what changes in the pictures, and what does not? Set `frames=8`,
# which gives SAM 2's own number of memories, seven: how do the shares of the memories change? Look at layer 3
# instead of layer 0: is the attention of random weights sharper or flatter there, and can you say why from the
# lengths in the last picture but one?
