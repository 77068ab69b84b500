# %% [markdown]
# # Softmax in tiles
#
# In SAM 2 each of the $N = 4096$ tokens of a frame weighs $M = 28\,736$ memory tokens. Written down as the formula
# says, softmax$(qk^\top/\sqrt d)\,v$ needs a table of $N \times M$ logits, 118 million numbers, in each of four
# layers, for every object and every frame. So the cost grows linearly with the objects and with the memories; with
# the image's area it grows quadratically, as both $N$ and $M$ do, so twice the side is sixteen times the table.
# Nobody ever looks at that table as a whole. This notebook shows how to do without it, and then two savings that are
# special to SAM 2:
#
# 1. softmax a tile at a time, derived and animated;
# 2. what that saves in memory and in time;
# 3. values that stay in memory space, which makes one of the two large products four times smaller;
# 4. queries that go to memory space as well, which takes a third off the other one, and at most a half.
#
# None of them approximates anything: the results differ from the textbook's by rounding only.
#
# (*Can objects not share a pass?* SAM 2 runs its image encoder once a frame for all objects, and all else for each of them:
# a memory holds one object's mask, mixed into the features, and a pass gives each token one answer. All up to the first
# cross-attention is the same for every object, though; SAM 2 computes it again for each, `reference/many_objects.py` once.)

# %%
BACKEND = "reference"

# %% [markdown]
# With `"reference"` the attention is NumPy's, with `"accelerated"` PyTorch's. Both packages have the textbook form
# and a form that works in tiles; the two have different names there, and the same names here.

# %%
import base64
import io
import json
import tracemalloc
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from PIL import Image

import memory_attention as ma
from memory_attention.inputs import draw_inputs
from memory_attention.reference import attention as in_numpy

if BACKEND == "reference":
    textbook, tiled = in_numpy.scaled_dot_product_attention, in_numpy.tiled_scaled_dot_product_attention
    merge_heads, native = in_numpy.merge_heads, np.asarray
else:
    import torch

    from memory_attention.accelerated import attention as in_torch
    from memory_attention.accelerated import kernels

    textbook, tiled = kernels.textbook_attention, kernels.scaled_dot_product_attention
    merge_heads, native = in_torch.merge_heads, torch.as_tensor

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"
plt.rcParams |= {"figure.dpi": 110, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}

# %% [markdown]
# ## One query, and keys that arrive in tiles
#
# Take one query. Its logits are $\ell_1, \dots, \ell_M$ and the values are $v_1, \dots, v_M$. What we want is
#
# $$ o = \frac{\sum_j e^{\ell_j} v_j}{\sum_j e^{\ell_j}} . $$
#
# In float32, $e^{89}$ is already infinite. Since a common factor cancels, every exponent may be shifted by the
# same number, and the largest logit $m = \max_j \ell_j$ is the safe choice, because then no exponent is above
# zero:
#
# $$ o = \frac{a}{s}, \qquad s = \sum_j e^{\ell_j - m}, \qquad a = \sum_j e^{\ell_j - m} v_j . $$
#
# At first sight this takes three passes over all keys: one for $m$, one for $s$, one for $a$. Now let the keys
# arrive in tiles, and let $T$ be those seen so far. Keep just the three quantities that belong to them:
#
# $$ m_T = \max_{j \in T} \ell_j, \qquad s_T = \sum_{j \in T} e^{\ell_j - m_T}, \qquad a_T = \sum_{j \in T} e^{\ell_j - m_T} v_j . $$
#
# **Step 1, the new maximum.** When a tile $U$ of new keys arrives, $m' = \max(m_T, m_U)$.
#
# **Step 2, the old sum seen from the new maximum.** Since $\ell_j - m' = (\ell_j - m_T) + (m_T - m')$,
#
# $$ \sum_{j \in T} e^{\ell_j - m'} = e^{m_T - m'} \sum_{j \in T} e^{\ell_j - m_T} = e^{m_T - m'} s_T . $$
#
# The old keys are not needed again: one factor corrects them all. The same factor corrects $a_T$.
#
# **Step 3, add the tile.**
#
# $$ s' = e^{m_T - m'} s_T + \sum_{j \in U} e^{\ell_j - m'}, \qquad a' = e^{m_T - m'} a_T + \sum_{j \in U} e^{\ell_j - m'} v_j . $$
#
# **The start** is $m = -\infty$, $s = 0$, $a = 0$: the first correction is $e^{-\infty} = 0$, and it multiplies
# nothing.
#
# So $(m', s', a')$ are exactly the three quantities of $T \cup U$. By induction they are those of all keys after
# the last tile, whatever the tiles were, and $o = a/s$. That is the whole of *online softmax* (Milakov and
# Gimelshein, 2018, [arXiv:1805.02867](https://arxiv.org/abs/1805.02867)), which FlashAttention (Dao et al., 2022,
# [arXiv:2205.14135](https://arxiv.org/abs/2205.14135)) took to the GPU.
#
# As code it is as short as the derivation. Here it is for one query, 24 keys in six tiles of four, and values in
# the plane, so that they can be drawn.

# %%
rng = np.random.default_rng(1)
TILE = 4
logits = rng.normal(0, 1.3, 24) + np.repeat([-0.5, 1.2, 0.2, -1.0, 2.6, 0.4], TILE)
values = rng.normal(0, 1, (24, 2)) + np.repeat(
    [[-2, 1], [1, 2], [-1, -1.5], [0, 0], [2, -1], [-1, 1]], TILE, axis=0
)

m, s, a = -np.inf, 0.0, np.zeros(2)
states = []
print("tile  largest  correction     sum   mean so far")
for start in range(0, len(logits), TILE):
    new, v = logits[start : start + TILE], values[start : start + TILE]
    m_new = max(m, new.max())
    correction = np.exp(m - m_new)
    weights = np.exp(new - m_new)
    s = s * correction + weights.sum()
    a = a * correction + weights @ v
    m = m_new
    states.append((m, correction, s, a / s))
    print(f"{start // TILE + 1:4}  {m:7.3f}  {correction:10.3f}  {s:6.3f}   ({a[0] / s:6.3f}, {a[1] / s:6.3f})")

naive = np.exp(logits) @ values / np.exp(logits).sum()
print(f"\nfrom all 24 at once:                ({naive[0]:6.3f}, {naive[1]:6.3f})")
print(f"Found: in tiles and at once the means differ by {np.abs(a / s - naive).max():.0e}, no more than rounding.")


# %% [markdown]
# In the animation below the same six tiles arrive. On the left are the logits, those of the newest tile in orange,
# with the largest so far as a line. In the middle are the weights $e^{\ell - m}$: whenever a tile raises the
# maximum, all earlier weights shrink by one common factor, and the dashed outlines show what they were before. On
# the right the weighted mean $a/s$ moves among the values towards its final place, the cross.


# %%
def draw_state(axes, tile):
    """Draw what is known when `tile` (from 0) has arrived: logits, weights, weighted mean."""
    seen = (tile + 1) * TILE
    keys, newest = np.arange(1, 25), np.arange(24) // TILE == tile
    m, correction, s, mean = states[tile]
    colours = np.where(newest[:seen], ORANGE, BLUE)
    weights = np.exp(logits[:seen] - m)

    left, middle, right = axes
    left.bar(keys[:seen], logits[:seen], color=colours)
    left.axhline(m, color="black", lw=1.2)
    left.text(24.5, m + 0.12, f"m = {m:.2f}", ha="right")
    left.set(xlim=(0, 25), ylim=(-3, 3.6), xlabel="key", ylabel="logit", title="logits")
    middle.bar(keys[:seen], weights, color=colours)
    if 0 < correction < 1:
        old = weights[:-TILE] / correction
        middle.bar(keys[: seen - TILE], old, fill=False, ec=GREY, ls="--", lw=0.9)
    middle.text(24.5, 1.07, f"correction {correction:.2f},  s = {s:.2f}", ha="right")
    middle.set(xlim=(0, 25), ylim=(0, 1.2), xlabel="key", ylabel=r"weight $e^{\ell - m}$", title="weights")

    path = np.array([state[3] for state in states[: tile + 1]])
    right.scatter(*values[:seen].T, s=12 + 90 * weights, c=colours, alpha=0.75, lw=0)
    right.plot(*path.T, "-", color="black", lw=1)
    right.plot(*mean, "o", color="black", ms=8, mfc="white", mew=2)
    right.plot(*states[-1][3], "x", color="black", ms=9, mew=2)
    right.set(
        xlim=(-4, 4.6),
        ylim=(-3.8, 4.8),
        xlabel="first channel",
        ylabel="second channel",
        title=r"values and mean $a/s$",
    )
    right.set_aspect("equal")


def animate(count):
    """All tiles one after the other, as the bytes of an animated GIF."""
    pictures = []
    for tile in range(count):
        figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained", width_ratios=[1, 1, 0.9])
        draw_state(axes, tile)
        figure.suptitle(f"tile {tile + 1} of {count}")
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=85)
        plt.close(figure)
        pictures.append(Image.open(buffer).convert("RGB").quantize(48))
    gif = io.BytesIO()
    waits = [1500] * (count - 1) + [3500]
    pictures[0].save(gif, "GIF", save_all=True, append_images=pictures[1:], duration=waits, loop=0)
    return gif.getvalue()


encoded = base64.b64encode(animate(6)).decode()
alternative = "Six tiles of logits arrive; the maximum rises, earlier weights shrink, the weighted mean moves."
picture = f'<img alt="{alternative}" src="data:image/gif;base64,{encoded}">'
display({"text/html": picture, "image/gif": encoded, "text/plain": alternative}, raw=True)

# %% [markdown]
# The same as a film strip, for those who read this on paper: the weights only, one panel a tile.

# %%
figure, axes = plt.subplots(1, 6, figsize=(11, 2.5), sharey=True, layout="constrained")
for tile, axis in enumerate(axes):
    m, correction, s, _ = states[tile]
    seen = (tile + 1) * TILE
    weights = np.exp(logits[:seen] - m)
    colours = np.where(np.arange(seen) // TILE == tile, ORANGE, BLUE)
    if 0 < correction < 1:
        axis.bar(range(1, seen - TILE + 1), weights[:-TILE] / correction, fill=False, ec=GREY, ls="--", lw=0.8)
    axis.bar(range(1, seen + 1), weights, color=colours)
    axis.set(xlim=(0, 25), ylim=(0, 1.05), xticks=[1, 12, 24], xlabel="key")
    axis.set_title(f"tile {tile + 1}, correction {correction:.2f}\ns = {s:.2f}", fontsize=9)
axes[0].set_ylabel(r"weight $e^{\ell - m}$")
plt.show()

# %% [markdown]
# Where a tile brings no larger logit the correction is 1 and nothing shrinks; where it brings one that is much
# larger, what came before is nearly forgotten, as softmax would have it.
#
# The derivation promises the same result for every tiling, and finite numbers for every logit. Both can be
# checked. The first line below compares many tile sizes with the textbook form, in float64, the second takes
# logits of ten thousand and more, where a plain exponential overflows.

# %%
query, key, value = rng.standard_normal((3, 1, 1, 50, 16))
expected = in_numpy.scaled_dot_product_attention(query, key, value)
tilings = [(rows, columns) for rows in (1, 3, 7, 50) for columns in (1, 2, 5, 13, 49, 50, 64)]
errors = [
    np.abs(in_numpy.tiled_scaled_dot_product_attention(query, key, value, *tiling) - expected).max()
    for tiling in tilings
]
print(f"Found: {len(tilings)} tilings differ from the textbook form by {max(errors):.0e} at most, in float64.")

extreme = in_numpy.tiled_scaled_dot_product_attention(query * 1e4, key, value, 7, 5)
largest = np.abs(query @ key.swapaxes(-1, -2) * 1e4 / 4).max()
with np.errstate(over="ignore"):
    alone = np.exp(np.float32(largest))
all_finite = "all results are finite" if np.isfinite(extreme).all() else "some results are not finite"
print(f"Found: with logits up to {largest:.0f} {all_finite}; the exponential alone would be {alone}.")


# %% [markdown]
# ## Memory
#
# The textbook form makes a few arrays of $N \times M$ numbers, so its memory grows with the number of keys. The
# tiled form makes tiles, and its memory does not depend on the number of keys at all. `tracemalloc` sees every
# array that NumPy makes (it does not see PyTorch's), so this section measures the two NumPy forms, whatever
# `BACKEND` is: the peak of what a call allocates on top of its inputs, for 512 queries.


# %%
def draw_qkv(num_keys, num_queries=512, width=64):
    """Float32 queries, keys and values [1,1,T,width] from a seed."""
    rng = np.random.default_rng(0)
    sizes = (num_queries, num_keys, num_keys)
    return [rng.standard_normal((1, 1, tokens, width), np.float32) for tokens in sizes]


def peak_megabytes(call, *inputs):
    tracemalloc.start()
    call(*inputs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1e6, 1)


numbers_of_keys = np.array([512, 1024, 2048, 4096, 8192, 16384])
numpy_forms = {
    "textbook": in_numpy.scaled_dot_product_attention,
    "in tiles": in_numpy.tiled_scaled_dot_product_attention,
}
peaks = {
    name: np.array([peak_megabytes(form, *draw_qkv(count)) for count in numbers_of_keys])
    for name, form in numpy_forms.items()
}
print("keys    textbook   in tiles   N × M numbers")
for count, plain, by_tiles in zip(numbers_of_keys, *peaks.values(), strict=True):
    print(f"{count:5}  {plain:6.1f} MB  {by_tiles:6.1f} MB       {512 * count * 4 / 1e6:5.1f} MB")

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
axis.loglog(numbers_of_keys, peaks["textbook"], "o-", color=ORANGE)
axis.loglog(numbers_of_keys, peaks["in tiles"], "s-", color=BLUE)
axis.loglog(numbers_of_keys, 512 * numbers_of_keys * 4 / 1e6, ":", color="black")
axis.text(4600, peaks["textbook"][3] * 1.5, "textbook", ha="right", color=ORANGE)
axis.text(16384, peaks["in tiles"][-1] / 1.5, "in tiles", ha="right", color=BLUE)
axis.text(9000, 8.5, "one array of\nN × M numbers", ha="left")
axis.set_xticks(numbers_of_keys, [f"{n}" for n in numbers_of_keys])
axis.set_yticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
axis.minorticks_off()
axis.set(xlabel="keys", ylabel="peak of what a call allocates (MB)", title="512 queries, one head of 64, float32")
plt.show()

full = 4096 * 28736 * 4 / 1e6
print(
    f"Found: at {numbers_of_keys[-1]} keys the textbook form needs {peaks['textbook'][-1] / peaks['in tiles'][-1]:.0f} times "
    f"as much as the tiled one; at SAM 2's full size one N × M array is {full:.0f} MB, three are {3 * full / 1e3:.1f} GB."
)


# %% [markdown]
# The textbook form runs at three times the dotted line: logits, shifted logits or quotients, and exponentials lie
# beside each other. The tiled form levels off once there are more keys than one or two tiles hold.
#
# ## Time
#
# Both forms multiply the same matrices, and the tiled one has the corrections to do in addition. Whether it is
# faster is therefore a question of where its numbers lie: a tile that fits into a processor's cache is written and
# read again without a trip to main memory, and the textbook's table makes that trip several times.
#
# Seconds say little, as they depend on the machine and on what else it is doing. So nothing is timed here. Below is
# what `python -m memory_attention.benchmarks.tiles` wrote down, with PyTorch on two cores. In each turn the
# contenders run right after one another, and what counts is the *ratio* of two times of one turn. A point is the
# median over the turns, and its bar reaches from quartile to quartile; a point whose bar touches 1 is hollow, since
# it says nothing. Both contenders are the whole memory attention, with the same projections; the one has the table of
# all logits, and the other PyTorch's fused kernel, which goes in tiles.

# %%
bench = json.loads(Path("../benchmarks/results/tiles.json").read_text())


def ratios(slower, faster):
    """For each case the quartiles of the ratio of times of the same turn."""
    for case in bench["cases"]:
        seconds = case["seconds"]
        yield case, np.quantile(np.divide(seconds[slower], seconds[faster]), [0.25, 0.5, 0.75])


def draw_ratio(axis, x, quartiles, colour):
    low, middle, high = quartiles
    said = low > 1 or high < 1
    axis.errorbar(
        x,
        middle,
        [[middle - low], [high - middle]],
        fmt="o",
        color=colour,
        mfc=colour if said else "white",
        capsize=3,
    )


figure, axis = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
table_mb = {}
for case, quartiles in ratios("table", "values first"):
    size = case["logits_mb"]
    table_mb[size] = quartiles
    draw_ratio(axis, size, quartiles, BLUE)
axis.axhline(1, color="black", lw=1, ls=":")
axis.text(60, 1.03, "equally fast", ha="left", va="bottom")
axis.set_xscale("log")
axis.set(xlabel="one table of N × M logits (MB)", ylabel="time with the table / in tiles", ylim=(0, None))
axis.set_title(f"measured: {bench['machine']['cores']} cores, float32", fontsize=10)
plt.show()
small, large = min(table_mb), max(table_mb)
print(
    f"Found: with a table of {small:.1f} MB the ratio is {table_mb[small][1]:.2f} ({table_mb[small][0]:.2f} to "
    f"{table_mb[small][2]:.2f}), with one of {large:.0f} MB it is {table_mb[large][1]:.2f} ({table_mb[large][0]:.2f} to "
    f"{table_mb[large][2]:.2f})."
)

# %% [markdown]
# While the table is small it fits the cache anyway, and there is nothing to gain; the reference's `attend`
# therefore takes the textbook form, which is easier to follow, up to a table of some megabytes. What tiles take
# away is memory, not arithmetic.
#
# ## Values that stay in memory space
#
# The arithmetic itself can shrink too. In SAM 2's cross-attention a memory token $m_j$ has only $C_m = 64$
# channels, and its value $v_j = W m_j + b$ is a projection up to $d = 256$. Write the memories as the rows of a
# matrix $m$ and the softmax weights as $P$, with one row for each query. Then the textbook computes
#
# $$ P\,v = P\,(m W^\top + \mathbf 1 b^\top), $$
#
# where $\mathbf 1$ is a column of ones, because every row gets the same bias. Multiplying out,
#
# $$ P\,(m W^\top + \mathbf 1 b^\top) = (P m)\,W^\top + (P \mathbf 1)\,b^\top = (P m)\,W^\top + \mathbf 1 b^\top . $$
#
# The first step is associativity. The second is the property of softmax that makes this work: each of its rows
# sums to one, so $P\mathbf 1 = \mathbf 1$. In words: *the mean of projected memories is the projection of their
# mean*. So attention may average the memories as they are, 64 channels wide, and project the $N$ results
# afterwards, instead of the $M$ tokens before. With several heads, each has its own $P$ and its own rows of $W$.


# %%
def attend_in_memory_space(query, key, memory, weight, bias, form):
    """What `form(query, key, memory weightᵀ + bias)` gives, heads merged, with the projection done last.

    query [B,H,N,d], key [B,H,M,d], memory [B,M,C_m], weight [H·d,C_m], bias [H·d]; returns [B,N,H·d].
    """
    heads = query.shape[1]
    mean_memory = form(query, key, memory[:, None])  # [B,H,N,C_m]
    per_head = weight.reshape(heads, -1, weight.shape[1]).swapaxes(-1, -2)  # [H,C_m,d]
    return merge_heads(mean_memory @ per_head + bias.reshape(heads, 1, -1))


# %% [markdown]
# To see that it is equal, take the cross-attention of SAM 2.1's first layer, on a small grid: seven memory frames
# of 8 × 8 tokens and 16 object pointers. `trace` shows what the model itself had after the projection of queries
# and keys, after their rotation, and after attending.

# %%
config = ma.load_config("sam2.1_hiera_t")
inputs = draw_inputs(config, grid=(8, 8))
name = "layers.0.cross_attn_image"
memory = np.swapaxes(inputs.memory, 0, 1)  # inside the network arrays are batch-first

units = {}
for dtype in ("float64", "float32"):
    model = ma.load(config, BACKEND, dtype=dtype)
    steps = model.trace(*inputs, names=[f"{name}.{step}" for step in ("q_rotated", "k_rotated", "attended")])
    weight, bias = (model.weights[f"memory_attention.{name}.v_proj.{part}"] for part in ("weight", "bias"))
    q, k, mem, w, b = (
        native(array.astype(dtype))
        for array in (steps[f"{name}.q_rotated"], steps[f"{name}.k_rotated"], memory, weight, bias)
    )
    attended = steps[f"{name}.attended"]
    for form_name, form in (("textbook form", textbook), ("tiled form", tiled)):
        result = np.asarray(attend_in_memory_space(q, k, mem, w, b, form))
        difference = np.abs(result - attended).max() / np.abs(attended).max()
        units[form_name, dtype] = difference / np.finfo(dtype).eps
print(f"{memory.shape[1]} memory tokens, largest relative difference, in units in the last place:")
for (form_name, dtype), count in units.items():
    print(f"{form_name:13} {dtype} {count:4.1f}")
print(f"Found: projecting last changes the result by {max(units.values()):.0f} units in the last place at most.")

# %% [markdown]
# The difference is rounding. It is not zero, because the sums are taken in another order.
#
# Now what it saves at full size, in floating-point operations of the matrix products, a multiplication and an
# addition counting two. The product $q k^\top$ is the same in both.

# %%
N, M, C_M, D = 4096, 28736, 64, 256


def gflop(heads=1, memory_space=False, keys=M, channels=C_M):
    """q kᵀ, the weighted sum, and the projection of the values, for H heads that share D channels."""
    weighted = 2 * N * keys * (heads * channels if memory_space else D)
    projected = 2 * (N if memory_space else keys) * channels * D
    return np.array([2 * N * keys * D, weighted, projected]) / 1e9


print("GFLOP a layer                q kᵀ   weighted sum   v_proj    total")
for label, counts in (
    ("values first", gflop()),
    ("in memory space", gflop(memory_space=True)),
    ("self-attention", gflop(keys=N, channels=D)),
    ("256 wide: values first", gflop(channels=256)),
    ("256 wide: memory space", gflop(memory_space=True, channels=256)),
):
    print(f"{label:25} {counts[0]:7.1f}   {counts[1]:12.1f}   {counts[2]:6.2f}   {counts.sum():6.1f}")
print(f"Found: in memory space takes {gflop(memory_space=True).sum() / gflop().sum():.0%} of the operations.")

# %% [markdown]
# In multiply-adds it is half of each number: some 61 billion for a cross-attention with values first. That is seven
# times a self-attention, since there are seven times as many keys. With all their projections, a layer takes 9.7 billion
# multiply-adds in self-attention, 61.7 in cross-attention and 4.3 in the feed-forward, or 13, 82 and 6%; four layers take
# 303 billion, for each object and frame. The feed-forward has 71% of the parameters, and is the cheapest. (Of SAM 2's
# tiny model, with 38.9 million parameters by its own list, the memory attention is 15%; of the large one, with 224.4 million,
# 3%.)
#
# The weighted sum shrinks four-fold, $d / C_m = 256 / 64$, and the projection seven-fold, $M / N$. It does not
# always pay. A head of $d$ channels has a weighted sum $d$ wide in the plain form and $C_m$ wide in memory space,
# so the condition is $C_m < d$. SAM 2 has one head of 256. Had it eight heads of 32, every head would have to
# average 64 channels instead of 32. The left panel below counts that. The right one is measured, as above, at SAM
# 2's own sizes by the number of memories: a whole frame with values first and PyTorch's kernel, over one with
# values in memory space and this project's kernel for CPUs. Self-attention and feed-forward, the same in both, are
# in it.

# %%
heads = np.array([1, 2, 4, 8])
plain = [gflop(h)[1] for h in heads]
moved = [gflop(h, memory_space=True)[1] for h in heads]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.7), layout="constrained")
places = np.arange(len(heads))
left.bar(places - 0.2, plain, 0.38, color=ORANGE, label="values first")
left.bar(places + 0.2, moved, 0.38, color=BLUE, hatch="//", ec="white", label="in memory space")
left.set_xticks(places, [f"{h} of {D // h}" for h in heads])
left.set(
    xlabel="heads of channels",
    ylabel="weighted sum (GFLOP a layer)",
    title="counted, full size, 64 memory channels",
)
left.legend(frameon=False)

by_memories = {}
for case, quartiles in ratios("values first", "tiles"):
    if case["grid"] == 64:
        by_memories[case["memories"]] = quartiles
        draw_ratio(right, case["memories"], quartiles, BLUE)
right.axhline(1, color="black", lw=1, ls=":")
right.set(
    xlabel="memories of 64 × 64 tokens",
    ylabel="time, values first / in memory space",
    title=f"measured: {bench['machine']['cores']} cores, float32",
    ylim=(0, None),
    xticks=sorted(by_memories),
)
plt.show()
low, middle, high = by_memories[7]
print(
    "Found: with four heads it is a draw and with eight a loss, by count. Measured with seven memories, a frame takes ",
    end="",
)
print(f"{middle:.2f} times as long with values first ({low:.2f} to {high:.2f}).")


# %% [markdown]
# At 256 memory channels, the last two rows of the table, the weighted sum would be the same in both orders. The bank
# would take four times the bytes. The operations grow by 2 % with values first, where the width of a memory counts in
# the projections only (by 5 % with the projections of queries, keys and results, which the table leaves out), and by
# 60 % in memory space: it is the narrow memories that make this order worth while. SAM 2's paper measured both widths,
# and found little lost at 64 ([where memories come
# from](../reference/README.md#where-memories-and-pointers-come-from)).
#
# In time the gain is smaller than in operations: the exponentials, which are the same in both, take their share. A
# kernel may also have an opinion: the fused kernel that PyTorch has for CPUs takes only values as wide as the keys,
# and for others PyTorch silently goes through the textbook form, table of logits and all. There, part of what the
# operations save is paid back in time, and the memory that the tiles saved is gone. That is why the accelerated
# backend has a kernel of its own for CPUs, `accelerated/tiles.py`: the loop from above, with blocks of queries
# spread over threads. A saving on paper is a gain only if measured, on the machine at hand:
# `memory-attention bench --quick`.
#
# ## Why dropout breaks it
#
# In training, dropout acts on $P$: each weight is set to zero with probability $p$, in SAM 2 a tenth, and the rest are
# divided by $1-p$. Call the result $\tilde P$. Its rows sum to one only on average; a single row sums to some $r_i$,
# and with $r = \tilde P\mathbf 1$ the derivation stops one step earlier ([where else a layer
# drops](../reference/README.md#sizes) does not matter here):
#
# $$ \tilde P\,(m W^\top + \mathbf 1 b^\top) = (\tilde P m)\,W^\top + r\,b^\top . $$
#
# Using $b$ as it is makes an error of exactly $(r_i - 1)\,b$ in row $i$. Using $r_i b$ instead is right again, but
# the row sums must be known then.

# %%
rng = np.random.default_rng(0)
P = in_numpy.softmax(rng.standard_normal((256, 512)) * 2)
m, W, b = rng.standard_normal((512, 64)), rng.standard_normal((256, 64)) / 8, rng.standard_normal(256)
kept = rng.random(P.shape) >= 0.1
dropped = P * kept / 0.9
r = dropped.sum(axis=1, keepdims=True)


def error(result, truth):
    return np.abs(result - truth).max() / np.abs(truth).max()


print(f"without dropout, bias b:         {error(P @ m @ W.T + b, P @ (m @ W.T + b)):.1e}")
truth = dropped @ (m @ W.T + b)
print(f"with dropout of 0.1, bias b:     {error(dropped @ m @ W.T + b, truth):.1e}")
print(f"with dropout of 0.1, bias r b:   {error(dropped @ m @ W.T + r * b, truth):.1e}")
wrong = dropped @ m @ W.T + b - truth
print(f"the error is (1 − r) b, up to    {np.abs(wrong - (1 - r) * b).max():.1e}")

# %%
figure, axis = plt.subplots(figsize=(6.5, 2.9), layout="constrained")
axis.hist(r.ravel(), bins=30, color=BLUE)
axis.axvline(1, color=ORANGE, lw=2)
axis.text(0.99, axis.get_ylim()[1] * 0.92, "without dropout: 1", color=ORANGE, ha="right")
axis.set(
    xlabel="sum of a row of the weights", ylabel="rows of 256", title="row sums of softmax after a dropout of 0.1"
)
plt.show()
print(f"Found: rows sum to {r.min():.2f} at least and {r.max():.2f} at most; one is what the short way needs.")

# %% [markdown]
# The sum of a row cannot exceed $1/0.9$, and it is usually near one; but where a row has one weight that outweighs
# all others, and just that one is dropped, little is left of it. So training takes the plain way, and inference,
# where nothing is dropped, may take the short one.

# %% [markdown]
# ## Queries in memory space, too
#
# What is left is $q k^\top$: $N \times M$ logits of 256 multiplications each. A key is made of a memory in two
# steps. It is projected, $k = W m + b$, and rotated by the place $(x, y)$ at which the memory lies. Both are
# linear in $[m, 1]$, the memory with a one at its end:
#
# $$ R(x, y)\,(W m + b) = R(x, y)\,[W, b]\,[m, 1] . $$
#
# So $q$ could be brought to memory space instead of bringing $m$ to the keys' space: $q \cdot R(x, y)\,[W, b]\,[m,
# 1]$ is the product of $[m, 1]$ with the $C_m + 1$ numbers $[W, b]^\top R(x, y)^\top q$, for any memory at that
# place. But that is another vector for each of the $N$ places, $N \times N \times 65$ numbers in all, and to make
# them takes more work than it saves. What helps is that the rotation is *axial*: it turns the first half of the
# channels by $x$ alone, and the second half by $y$ alone. With $q$, $W$ and $b$ cut into the same halves,
#
# $$ q \cdot R(x, y)\,k \;=\; q_1 \cdot R(x)\,[W_1, b_1]\,[m, 1] \;+\; q_2 \cdot R(y)\,[W_2, b_2]\,[m, 1] \;=\; (u_x + v_y) \cdot [m, 1] , $$
#
# $$ u_x = (R(x)\,[W_1, b_1])^\top q_1 , \qquad v_y = (R(y)\,[W_2, b_2])^\top q_2 . $$
#
# A query has one $u$ for each *column* and one $v$ for each *row*: 64 + 64 vectors instead of 4096. All memories
# share them, however many there are, since they all lie on the same grid. An object pointer has no place and is
# not rotated; it meets $[W, b]^\top q$.
#
# `reference/axial.py` is this derivation as code. Below, its logits are compared with those of rotated keys, for
# the layer and the inputs from above.

# %%
from memory_attention.reference.axial import logits_from_memory_space, queries_in_memory_space

q, k = (np.asarray(steps[f"{name}.{step}"], np.float64)[0, 0] for step in ("q_rotated", "k_rotated"))
projection = (
    model.weights[f"memory_attention.{name}.k_proj.{part}"].astype(np.float64) for part in ("weight", "bias")
)
W, b = projection
key_memory = np.swapaxes(inputs.memory + inputs.memory_pos, 0, 1)[0].astype(np.float64)
logits_of_keys = q @ k.T
logits = logits_from_memory_space(q, key_memory, W, b, 8, 8, num_k_exclude_rope=inputs.num_obj_ptr_tokens)
print(f"{logits.shape[0]} queries, {logits.shape[1]} memory tokens, {inputs.num_obj_ptr_tokens} of them pointers")
print(
    f"largest relative difference: {error(logits, logits_of_keys):.1e}, of float32 keys: {np.finfo('float32').eps:.1e}"
)

# %% [markdown]
# The difference is the rounding of the keys that the model made in float32.
#
# What are $u$ and $v$? Below, one query at the centre of a 33 × 33 grid, with the weights of the first layer. The
# first two panels are its $u$, a row for each column of the grid, and its $v$, a row for each row. Each channel of
# a memory is weighted by a wave, fast where the frequencies are high and nearly still where they are low. On the
# right is what one memory would score at every place of the grid. It is a sum of a curve over $x$ and a curve over
# $y$, the two drawn at its sides, and nothing else: every row of the map has the same shape, moved up or down.

# %%
side = 33
centre = side // 2
one = np.random.default_rng(6)
# A query that is turned to the centre, and a memory that it likes there.
unturned = one.standard_normal(256)
places = in_numpy.rotary_angles(side, side, 256)
query = in_numpy.rotate(np.broadcast_to(unturned, (side * side, 256)), places)[centre * side + centre][None]
token = np.append(np.linalg.lstsq(W, unturned - b, rcond=None)[0], 1)
u, v = (part[0] for part in queries_in_memory_space(query, W, b, side, side))
over_x, over_y = u @ token / 16, v @ token / 16

figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained", width_ratios=[1, 1, 0.9, 1])
largest = np.abs([u, v]).max()
for axis, part, where in ((axes[0], u, "column x"), (axes[1], v, "row y")):
    image = axis.imshow(part, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    axis.set(xlabel="channel of [m, 1]", ylabel=where, title=f"{'u' if part is u else 'v'}, for every {where}")
figure.colorbar(image, ax=axes[1])
axes[2].plot(over_x, color=BLUE, label="over x")
axes[2].plot(over_y, color=ORANGE, ls="--", label="over y")
axes[2].set(xlabel="place (cells)", ylabel="part of the logit", title="of one memory")
axes[2].legend(frameon=False)
image = axes[3].imshow(over_x[None] + over_y[:, None], cmap="viridis")
axes[3].set(xlabel="x (cells)", ylabel="y (cells)", title="their sum, its logit")
figure.colorbar(image, ax=axes[3], label="logit")
plt.show()
print(f"Found: {2 * side} vectors of {u.shape[1]} numbers stand for the {side * side} that the places would need.")

# %% [markdown]
# Both curves are highest where the query is, since this memory was made to be liked there; with another memory
# they have other shapes, from the same $u$ and $v$.
#
# Now the count. Making $u$ and $v$ costs the same whether there is one memory or fifteen. Then each logit takes
# two products of 65 instead of one of 256, and the projection of the keys falls away.

# %%
from memory_attention.rules.memory_space import Tokens, queries_flops, queries_gain, queries_logits_flops

memories = np.arange(1, 16)
tokens = [Tokens(queries=N, placed=N * count, placeless=64, grid=(64, 64)) for count in memories]
made = np.array([queries_flops(each, D, C_M) for each in tokens]) / 1e9
logits_flops = np.array([queries_logits_flops(each, C_M) for each in tokens]) / 1e9
gains = np.array([queries_gain(each, D, C_M) for each in tokens])
projected = gains * (made + logits_flops)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.plot(memories, projected, "o-", color=ORANGE, label="keys projected, then q kᵀ")
left.plot(memories, made + logits_flops, "s-", color=BLUE, label="queries in memory space")
left.plot(memories, made, ":", color=BLUE, label="of that, making u and v")
left.set(xlabel="memories", ylabel="GFLOP a layer", title="counted, 64 × 64, 64 pointer tokens", ylim=(0, None))
left.legend(frameon=False)
right.plot(memories, gains, "o-", color="black")
right.axhline(1, color=GREY, lw=1)
right.axhline(D / (2 * (C_M + 1)), color=GREY, ls="--", lw=1)
right.text(15, 2.0, "256 / (2 · 65)", ha="right", va="bottom")
right.set(xlabel="memories", ylabel="times fewer operations", title="the gain", ylim=(0, 2.25))
plt.show()

print("memories   keys projected   u and v   logits     gain")
for count in (1, 2, 4, 7, 15):
    at = count - 1
    print(f"{count:8}   {projected[at]:14.1f}   {made[at]:7.1f}   {logits_flops[at]:6.1f}   {gains[at]:4.2f} ×")
print(
    f"Found: with seven memories {1 - 1 / gains[6]:.0%} of the operations are saved, with one {1 / gains[0] - 1:.0%} more are needed."
)

# %% [markdown]
# With one memory it would be a loss, with two it is a draw, and with the seven of SAM 2 it is 1.5 times less. The
# limit is $256 / (2 \cdot 65)$: with twice as many memory channels, or heads of half the width, there would be
# nothing to gain. So here too it is a count that decides. The products are smaller and there are more of them,
# which costs a little of their speed, and the accelerated backend takes this way from a gain of 1.35 on: from five
# memories. `accelerated/axial.py` goes through the image in tiles of 32 × 32 places of all frames. It lays the
# logits of a tile out so that the rows' products are written one after the other and the columns' are added to
# them where they lie, and hands them to the same running sums as before.
#
# The NumPy reference does not do this. It projects and rotates its keys as the paper says, because it is there to
# be read.

# %% [markdown]
# ## To take along
#
# - A softmax-weighted mean of any number of tokens needs three running quantities, and one factor when the maximum
#   rises. That makes its memory independent of the number of keys, and the result depends on the tiling by
#   rounding only.
# - Rows that sum to one let an affine map pass through attention. With one head of 256 over 64 memory channels,
#   that saves a good third of the cross-attention's operations at full size.
# - Rotations that act on the halves of a head by column and by row split a logit into two short products. With
#   seven memories of 64 channels that takes a third off $q k^\top$ and the keys' projection, and no key is made.
# - All three are exact, and all still have to be measured on the machine at hand.
#
# The code is in `reference/attention.py`, `attend_in_memory_space` too, and in `reference/axial.py`.
#
# To try:
#
# 1. Merge the states of *two* sets of keys that were computed apart, as two processors would.
# 2. With $C_m = 64$ memory channels and $d = 256$, up to how many heads is it worth leaving the values in memory
#    space? And the queries?
# 3. Why can the exponentials not be left out of the count of operations, although they are so few?
#
# <details>
# <summary>Answers</summary>
#
# 1. With $(m_1, s_1, a_1)$ and $(m_2, s_2, a_2)$, let $m = \max(m_1, m_2)$. Then $s = e^{m_1 - m} s_1 + e^{m_2 -
#    m} s_2$ and $a = e^{m_1 - m} a_1 + e^{m_2 - m} a_2$: the rule of step 2, applied to both sides. Nothing else
#    is needed, so any number of processors may share the keys.
# 2. Values: while a head is wider than a memory, $256 / H > 64$, so with one head or two; four are a draw, and
#    three do not divide 256. Queries: two products of 65 take the place of one of $256 / H$, so for one head only;
#    with two, 130 are more than 128.
# 3. An exponential takes as long as many multiplications, and for one head of 256 there is one for each 512
#    operations of $q k^\top$. In memory space, where a logit takes 130 multiplications, their share is larger
#    still.
#
# </details>
