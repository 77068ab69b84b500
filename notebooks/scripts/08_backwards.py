# %% [markdown]
# # Backwards
#
# A network learns by asking, for each of its numbers: if this were a little larger, would the result be better or
# worse, and by how much? The answers are the *gradient*, and computing them is going through the network
# backwards. Frameworks do that by themselves. Here it is done by hand, step by step, for the memory attention of
# the reference: the folder `reference/backward/` has a file for each step. At the end one layer learns to find an
# object by its memory, with these gradients and nothing else.
#
# The only thing to change is the next line. With `"reference"` the layer at the end is trained by hand, in NumPy,
# with `"accelerated"` by PyTorch's autograd; it must make no difference.

# %%
BACKEND = "reference"

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import memory_attention as ma
from memory_attention import accelerated, reference
from memory_attention.inputs import draw_inputs
from memory_attention.reference.backward import memory_attention_backward, memory_attention_forward
from memory_attention.reference.backward.attention import (
    scaled_dot_product_attention_backward,
    scaled_dot_product_attention_forward,
    softmax_backward,
    softmax_forward,
)
from memory_attention.reference.backward.cross_attention import cross_attention_backward
from memory_attention.reference.backward.feed_forward import feed_forward_backward
from memory_attention.reference.backward.module import linear_backward, linear_forward
from memory_attention.reference.backward.norm import layer_norm_backward, layer_norm_forward
from memory_attention.reference.backward.position import rotate_backward, rotate_forward
from memory_attention.reference.backward.self_attention import self_attention_backward
from memory_attention.reference.module import Linear
from memory_attention.reference.position import rotary_angles, sine_encoding_2d
from memory_attention.tolerances import FINITE_DIFFERENCES

plt.rcParams |= {"figure.dpi": 90, "font.size": 10, "figure.constrained_layout.use": True}
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "0.55"
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. One step backwards
#
# Let $L$ be the number that is to become small. Write $\mathrm{d}x$ for $\partial L / \partial x$: as many numbers
# as $x$ has, each of which says how much $L$ grows with that number of $x$. A step makes $y$ of $x$. Whoever comes
# after it hands back $\mathrm{d}y$; the step's own business is to make $\mathrm{d}x$ of it, by the chain rule:
#
# $$ \mathrm{d}x_i = \sum_o \mathrm{d}y_o \, \frac{\partial y_o}{\partial x_i} . $$
#
# So each step is a pair of functions. `step_forward(…)` returns the output and a *cache*, what the way back needs
# to remember. `step_backward(d_out, cache)` returns the gradients by the inputs and by the parameters.
#
# The linear map is the first example. For each token $y_o = \sum_i W_{oi} x_i + b_o$, so
#
# $$ \mathrm{d}x_i = \sum_o \mathrm{d}y_o W_{oi}, \qquad \mathrm{d}W_{oi} = \sum_{\text{tokens}} \mathrm{d}y_o\, x_i,
# \qquad \mathrm{d}b_o = \sum_{\text{tokens}} \mathrm{d}y_o . $$
#
# All tokens share $W$ and $b$: a number that is used many times gets the sum of what its uses say.
#
# How can one know that a gradient is right? By measuring: move the input a little, forth and back, along some
# direction $u$, and see what $L$ does. That slope has to be $\sum_i \mathrm{d}x_i u_i$.


# %%
def slope(forward, array, direction, step=1e-5):
    """How much forward() grows while `array`, which it reads, is moved along `direction`; then moved back."""
    kept, ends = array.copy(), []
    for sign in (1, -1):
        array[...] = kept + sign * step * direction
        ends.append(forward())
    array[...] = kept
    return (ends[0] - ends[1]) / (2 * step)


def check(forward, arrays, gradients):
    """For each array, how far its gradient is from the slope along a random direction, relative to its length."""
    errors = {}
    for name, array in arrays.items():
        direction = rng.standard_normal(array.shape)
        wrong = abs((gradients[name] * direction).sum() - slope(forward, array, direction))
        errors[name] = wrong / np.linalg.norm(gradients[name])
    return errors


def found(what, errors):
    worst = max(errors, key=errors.get)
    said = "inside" if errors[worst] <= FINITE_DIFFERENCES else "OUTSIDE"
    print(f"Found: {what}: by slopes the gradients are off by {errors[worst]:.0e} at most ({worst}), ", end="")
    print(f"{said} the {FINITE_DIFFERENCES:.0e} that is allowed.")


linear = Linear(6, 4)
linear.weight, linear.bias = rng.standard_normal((4, 6)), rng.standard_normal(4)
x, d_y = rng.standard_normal((1, 5, 6)), rng.standard_normal((1, 5, 4))
y, cache = linear_forward(linear, x)
d_x, gradients = linear_backward(d_y, cache)
print(
    "x", x.shape, "→ y", y.shape, "  dy", d_y.shape, "→ dx", d_x.shape, {n: g.shape for n, g in gradients.items()}
)

arrays = {"x": x, "weight": linear.weight, "bias": linear.bias}
found("linear", check(lambda: (linear_forward(linear, x)[0] * d_y).sum(), arrays, gradients | {"x": d_x}))

# %% [markdown]
# How little is "a little"? A step that is too large measures the curvature too, with an error that falls with the
# square of the step. A step that is too small drowns in rounding, with an error of about $\varepsilon /
# \text{step}$. Softmax will do as an example that is curved.

# %%
logits, d_p = rng.standard_normal(12), rng.standard_normal(12)
direction = rng.standard_normal(12)
by_hand = softmax_backward(d_p, softmax_forward(logits)[1]) @ direction
sizes = np.geomspace(1e-12, 1, 25)
errors = [abs(slope(lambda: softmax_forward(logits)[0] @ d_p, logits, direction, h) - by_hand) for h in sizes]

figure, axis = plt.subplots(figsize=(6.5, 3.2))
axis.loglog(sizes, errors, "o-", color=BLUE, label="measured")
axis.loglog(sizes[12:], errors[-4] * (sizes[12:] / sizes[-4]) ** 2, "--", color=ORANGE, label="∝ step²: curvature")
axis.loglog(sizes[:17], np.finfo(float).eps / sizes[:17], ":", color="black", label="ε / step: rounding")
axis.set(xlabel="step", ylabel="slope's distance from the gradient", ylim=(1e-15, 10))
axis.legend(frameon=False)
plt.show()
print(
    f"Found: in float64 the best of these steps is {sizes[np.argmin(errors)]:.0e}, with an error of {min(errors):.0e}."
)

# %% [markdown]
# ## 2. Softmax
#
# With $p_i = e^{\ell_i} / \sum_j e^{\ell_j}$, a logit raises its own weight and lowers all others:
#
# $$ \frac{\partial p_i}{\partial \ell_j} = p_i\,(\delta_{ij} - p_j), \qquad\text{so}\qquad
# \mathrm{d}\ell_i = p_i \Bigl(\mathrm{d}p_i - \sum_j p_j\,\mathrm{d}p_j\Bigr) . $$
#
# In words: a logit is to grow by as much as its key is better than the *mean* of all keys, and only as far as it
# is looked at. The gradient sums to zero, since adding the same number to all logits changes nothing. And where a
# weight is 0, or one is 1, nothing is learned: that is why scores are divided by $\sqrt d$ ([notebook
# 01](01_one_step_at_a_time.ipynb)).

# %%
weights, cache = softmax_forward(logits)
d_logits = softmax_backward(d_p, cache)
scales = np.geomspace(0.1, 100, 25)
many = rng.standard_normal((200, 64))
said = rng.standard_normal((200, 64))
lengths = [np.linalg.norm(softmax_backward(said, softmax_forward(scale * many)[1]), axis=1) for scale in scales]

figure, axes = plt.subplots(1, 4, figsize=(12, 2.8))
axes[0].bar(range(12), weights, color=BLUE)
axes[0].set(xlabel="key", title="weights p", ylim=(0, None))
axes[1].bar(range(12), d_p, color=GREY)
axes[1].axhline(weights @ d_p, color=BLUE, lw=1.5, ls="--", label="mean, weighted by p")
axes[1].set(xlabel="key", title="dp, handed back", ylim=(None, 1.5 * d_p.max()))
axes[1].legend(frameon=False, fontsize=9, loc="upper right")
axes[2].bar(range(12), d_logits, color=ORANGE)
axes[2].axhline(0, color="black", lw=0.8)
axes[2].set(xlabel="key", title="dℓ, handed on")
for axis in axes[:3]:
    axis.set_xticks([0, 4, 8])
axes[3].loglog(scales, np.median(lengths, axis=1), "o-", color=ORANGE, ms=4)
for place, text in ((1, "divided by √d"), (16, "as they are, d = 256")):
    axes[3].axvline(place, color=GREY, lw=1, ls="--")
    axes[3].text(place, 2e-6, text, rotation=90, va="bottom", ha="right", fontsize=8)
axes[3].set(xlabel="how much logits vary", title="length of dℓ, median", ylim=(1e-6, 1))
plt.show()
found("softmax", check(lambda: softmax_forward(logits)[0] @ d_p, {"logits": logits}, {"logits": d_logits}))
at = {scale: np.median(lengths[np.argmin(abs(scales - scale))]) for scale in (1, 16)}
print(
    f"Found: dℓ sums to {d_logits.sum():.0e}; where logits vary by 16 instead of 1, it is {at[1] / at[16]:.0f} times as short."
)

# %% [markdown]
# ## 3. Attention
#
# The answers are $o = P v$ with $P = \mathrm{softmax}(\ell)$ and $\ell = q k^\top / \sqrt d$. Both products are
# linear in each factor, and softmax stands between:
#
# $$ \mathrm{d}v = P^\top \mathrm{d}o, \qquad \mathrm{d}P = \mathrm{d}o\, v^\top, \qquad
# \mathrm{d}q = \frac{\mathrm{d}\ell\; k}{\sqrt d}, \qquad \mathrm{d}k = \frac{\mathrm{d}\ell^\top q}{\sqrt d} . $$
#
# Read aloud: a value hears from every query, as loudly as it was looked at. A query moves towards the keys whose
# values would have helped it, and a key towards the queries that its value would have helped. The rotation turns
# $q$ and $k$ before they meet, $y = R x$, and $R^\top$ is the turn by the opposite angle, so gradients are turned
# back.

# %%
query, key, value = (rng.standard_normal((1, 2, tokens, 8)) for tokens in (12, 30, 30))
d_heads = rng.standard_normal((1, 2, 12, 8))
heads, cache = scaled_dot_product_attention_forward(query, key, value)
by_hand = dict(zip(("query", "key", "value"), scaled_dot_product_attention_backward(d_heads, cache), strict=True))


def attended():
    return (scaled_dot_product_attention_forward(query, key, value)[0] * d_heads).sum()


found("attention", check(attended, {"query": query, "key": key, "value": value}, by_hand))

angles = rotary_angles(3, 4, 8, theta=100.0)
d_rotated = rng.standard_normal(query.shape)
turned_back = rotate_backward(d_rotated, rotate_forward(query, angles)[1])
found(
    "rotation",
    check(lambda: (rotate_forward(query, angles)[0] * d_rotated).sum(), {"x": query}, {"x": turned_back}),
)
kept = np.allclose(np.linalg.norm(turned_back, axis=-1), np.linalg.norm(d_rotated, axis=-1))
print(f"Found: the rotation leaves the lengths of gradients {'as they were' if kept else 'changed'}.")

# %% [markdown]
# ## 4. Norm
#
# $n = (x - \mathrm{mean}(x)) / s$ with $s = \sqrt{\mathrm{var}(x) + \epsilon}$, and $y = n \cdot w + b$. A channel
# $x_j$ moves $n_i$ directly, through the mean, and through $s$, where $\partial s / \partial x_j = n_j / C$:
#
# $$ \frac{\partial n_i}{\partial x_j} = \frac{1}{s}\Bigl(\delta_{ij} - \frac 1C - \frac{n_i n_j}{C}\Bigr), \qquad
# \mathrm{d}x = \frac 1s \Bigl(\mathrm{d}n - \mathrm{mean}(\mathrm{d}n) - n \cdot \mathrm{mean}(\mathrm{d}n \cdot n)\Bigr),
# \qquad \mathrm{d}n = \mathrm{d}y \cdot w . $$
#
# The norm forgets a token's mean and length, so no gradient may ask for a change of either: both parts are taken
# out. And a long token, with a large $s$, hears everything more quietly.

# %%
x, weight, bias, d_y = (rng.standard_normal(shape) for shape in ((1, 5, 16), 16, 16, (1, 5, 16)))
x[:, 1] *= 10
_, cache = layer_norm_forward(x, weight, bias)
d_x, gradients = layer_norm_backward(d_y, cache)
arrays = {"x": x, "weight": weight, "bias": bias}
found("norm", check(lambda: (layer_norm_forward(x, weight, bias)[0] * d_y).sum(), arrays, gradients | {"x": d_x}))
along_mean, along_x = (
    np.abs(d_x.sum(axis=-1)).max(),
    np.abs((d_x * (x - x.mean(axis=-1, keepdims=True))).sum(axis=-1)).max(),
)
print(
    f"Found: along the mean the gradient is {along_mean:.0e}, along the token itself {along_x:.0e} (because of ε);",
    end=" ",
)
lengths = np.linalg.norm(d_x, axis=-1)[0]
print(f"the token that is ten times as long hears {np.median(np.delete(lengths, 1)) / lengths[1]:.0f} times less.")

# %% [markdown]
# ## 5. The way past
#
# Every block is $x + f(\mathrm{norm}(x))$, so backwards it is $\mathrm{d}x = \mathrm{d}y + (\text{what } f \text{
# hands back})$: the gradient goes past the block unchanged, and something is added to it. Without that way past,
# it would have to go through every block in turn.
#
# Below, SAM 2.1's four layers, with random weights on a small grid: twelve blocks, from the last to the first. The
# one line follows the gradient as it is. The other takes of every block only what went *through* it.

# %%
config = ma.load_config("sam2.1_hiera_t")
network = reference.MemoryAttention.from_config(config.memory_attention)
prefix = "memory_attention."
network.load_parameters(
    {
        name.removeprefix(prefix): array
        for name, array in ma.draw_weights(config, seed=0).items()
        if name.startswith(prefix)
    }
)
inputs = draw_inputs(config, memories=2, grid=(8, 8))
out, cache = memory_attention_forward(network, *inputs)
layer_caches, norm_cache = cache[3], cache[4]

d_out = rng.standard_normal(out.shape).astype(np.float32).swapaxes(0, 1)
d_whole, _ = layer_norm_backward(d_out, norm_cache)
d_through = d_whole
blocks, whole, through = ["norm"], [np.linalg.norm(d_whole)], [np.linalg.norm(d_whole)]
backwards = {
    "feed-forward": feed_forward_backward,
    "cross": cross_attention_backward,
    "self": self_attention_backward,
}
for layer_cache in reversed(layer_caches):
    for (name, backward), block_cache in zip(backwards.items(), reversed(layer_cache), strict=True):
        d_through = backward(d_through, block_cache)[0] - d_through
        d_whole = backward(d_whole, block_cache)[0]
        blocks.append(name)
        whole.append(np.linalg.norm(d_whole))
        through.append(np.linalg.norm(d_through))

figure, axis = plt.subplots(figsize=(8.5, 3))
axis.semilogy(whole, "o-", color=BLUE, label="as it is")
axis.semilogy(through, "s--", color=ORANGE, label="only what went through")
axis.set_xticks(range(len(blocks)), blocks, rotation=30, ha="right")
axis.set(ylabel="length of the gradient", xlabel="from the last step to the first")
axis.legend(frameon=False)
plt.show()
print(f"Found: through twelve blocks the gradient keeps {whole[-1] / whole[0]:.2f} of its length; ", end="")
print(f"without the way past {through[-1] / through[0]:.0e} of it would arrive.")

# %% [markdown]
# ## 6. The whole, checked twice
#
# `memory_attention_backward` is all of this in a row, from the last norm to the input. Every layer looks at the
# same memory, so what the layers say about it adds up.
#
# In SAM 2's training that sum goes on, since nothing in the bank is cut off from the gradient (its training code
# detaches no memory and no pointer). There are two ways back into an earlier frame:
#
# - *through its memory*: the memory encoder, then the image features of that frame, and its mask: probabilities, which
#   have a slope where zeros and ones would have none, so on into the mask decoder;
# - *through its pointer*: its small network, then the mask decoder.
#
# The mask decoder was given features that remember, so behind it lies that frame's memory attention, and the frames
# that *it* looked at. From the loss on frame 8 of a training clip to frame 1 there is the direct way, as frame 1 is
# prompted and stays in sight, and one through every chain of frames between. Two things end a way: a mask that was
# the prompt, which nothing computed, and an absence, which puts a constant in place of the mask and `no_obj_ptr` in
# place of the pointer.
#
# *And if memories were detached?* A frame's numbers could be dropped once its loss is done. But the memory encoder,
# `obj_ptr_proj`, `no_obj_ptr` and `no_obj_embed_spatial` would learn nothing: the loss on their own frame does not depend
# on them, only that on later frames does. To cut after some frames would lie between; SAM 2 keeps clips short instead.
#
# Below it is checked on the small config `tiny`, in float64: each of the inputs and parameters against the slope
# along a random direction, and against PyTorch's autograd of the *other* backend, which knows nothing of these
# formulas.

# %%
config = ma.load_config("tiny")
drawn = ma.draw_weights(config, seed=1)
drawn = {
    name.removeprefix(prefix): array.astype(np.float64) for name, array in drawn.items() if name.startswith(prefix)
}
network = reference.MemoryAttention.from_config(config.memory_attention)
network.load_parameters(drawn)
twin = accelerated.MemoryAttention.from_config(config.memory_attention).double().eval()
twin.load_state_dict({name: torch.from_numpy(array) for name, array in drawn.items()})

inputs = draw_inputs(config, memories=2, grid=(3, 5))
inputs = inputs._replace(
    **{n: a.astype(np.float64) for n, a in inputs._asdict().items() if isinstance(a, np.ndarray)}
)
names = ("curr", "memory", "curr_pos", "memory_pos")
out, cache = memory_attention_forward(network, *inputs)
d_out = rng.standard_normal(out.shape)
*d_inputs, gradients = memory_attention_backward(d_out, cache)
gradients |= dict(zip(names, d_inputs, strict=True))

arrays = {name: getattr(inputs, name) for name in names} | dict(network.named_parameters())
off_slopes = check(lambda: (memory_attention_forward(network, *inputs)[0] * d_out).sum(), arrays, gradients)

leaves = [torch.from_numpy(a).requires_grad_() if isinstance(a, np.ndarray) else a for a in inputs]
twin(*leaves).backward(torch.from_numpy(d_out))
theirs = dict(zip(names, (leaf.grad for leaf in leaves[:4]), strict=True))
theirs |= {name: parameter.grad for name, parameter in twin.named_parameters()}
largest = max(np.abs(g).max() for g in gradients.values())
off_autograd = {
    name: np.abs(gradients[name] - grad.numpy()).max() / max(np.abs(gradients[name]).max(), 1e-3 * largest)
    for name, grad in theirs.items()
}

order = list(off_slopes)
figure, axis = plt.subplots(figsize=(8.5, 6))
for errors, marker, colour, label in ((off_slopes, "o", ORANGE, "slopes"), (off_autograd, "s", BLUE, "autograd")):
    axis.semilogx(
        [max(errors[name], 1e-18) for name in order], range(len(order)), marker, color=colour, label=label
    )
axis.axvline(FINITE_DIFFERENCES, color=ORANGE, ls="--", lw=1, label="allowed, for slopes")
axis.set_yticks(range(len(order)), [name.removeprefix("layers.0.") for name in order], fontsize=8)
axis.set(xlabel="relative difference", xlim=(1e-17, 1e-5), ylim=(len(order) - 0.5, -0.5))
axis.grid(axis="y", color="#dddddd", lw=0.6)
axis.legend(frameon=False)
plt.show()
found("the whole", off_slopes)
print(f"Found: autograd of the other backend agrees to {max(off_autograd.values()):.0e}.")

# %% [markdown]
# ## 7. One layer learns to remember
#
# The task is the smallest that needs a memory. A frame is a grid of 6 × 6 cells, and each cell has a random
# *look*, seven numbers, three of which are drawn as its colour below. Two blocks of 2 × 2 cells have one look
# each, with some noise. In the memory one of the two blocks is marked, as an object's mask would mark it. In the
# current frame both blocks have moved, the cells around them are new, and nothing is marked. Which cells are the
# object?
#
# By itself the frame cannot say: it has two such blocks, and either may be it. The layer has to look into the
# memory for cells of the same look, and bring back whether they were marked.
#
# The network is `tiny`: one layer of two heads, 16 channels for the frame, 8 for the memory. The token that comes
# out is multiplied by a readout vector, which gives a logit for each cell, and the loss is the cross-entropy with
# the truth:
#
# $$ L = \mathrm{mean}\bigl(-\log \sigma(\pm \ell)\bigr), \qquad
# \mathrm{d}\ell = \frac{\sigma(\ell) - \text{truth}}{\text{count}}, \qquad \ell = w \cdot \text{out} + b . $$

# %%
SIDE, CELLS, LOOK = 6, 36, 7
into_channels = np.linalg.qr(np.random.default_rng(5).standard_normal((16, LOOK)))[0].T
POSITIONS = [sine_encoding_2d(SIDE, SIDE, channels).reshape(CELLS, 1, channels) for channels in (16, 8)]


def two_blocks(rng):
    """The cells of two blocks of 2 × 2 that have no cell in common, nor touch."""
    while True:
        (r, c), (s, d) = rng.integers(0, SIDE - 1, (2, 2))
        if max(abs(r - s), abs(c - d)) > 2:
            return [
                (SIDE * (row + np.arange(2)[:, None]) + column + np.arange(2)).ravel()
                for row, column in ((r, c), (s, d))
            ]


def draw_clips(rng, count):
    """Looks then and now [count, cells, look], and the object's mask then and now [count, cells]."""
    looks, masks = rng.standard_normal((2, count, CELLS, LOOK)), np.zeros((2, count, CELLS), bool)
    of_blocks = rng.standard_normal((count, 2, LOOK))
    for time in range(2):
        for clip in range(count):
            for block, cells in enumerate(two_blocks(rng)):
                looks[time, clip, cells] = of_blocks[clip, block] + 0.3 * rng.standard_normal((4, LOOK))
                masks[time, clip, cells] = block == 0
    return looks, masks


def as_inputs(looks, masks):
    """Tokens [cells, clips, channels] and their positions, as the memory attention takes them."""
    memory = np.concatenate([looks[0], 3.0 * masks[0][..., None]], axis=-1)
    tokens = [each.swapaxes(0, 1) for each in (2 * looks[1] @ into_channels, memory)]
    placed = [np.broadcast_to(position, each.shape) for position, each in zip(POSITIONS, tokens, strict=True)]
    return [each.astype(np.float32) for each in (*tokens, *placed)]


def cross_entropy(logits, truth):
    """The loss, and its gradient by the logits."""
    loss = np.logaddexp(0, np.where(truth, -logits, logits)).mean()
    return loss, ((1 / (1 + np.exp(-logits)) - truth) / truth.size).astype(np.float32)


def by_hand(parameters, inputs, truth):
    """Loss, logits and gradients, in NumPy, with the functions above."""
    network.load_parameters({name: parameters[name] for name in drawn})
    out, cache = memory_attention_forward(network, *inputs, grid=(SIDE, SIDE))
    logits = (out @ parameters["readout.weight"] + parameters["readout.bias"]).T
    loss, d_logits = cross_entropy(logits, truth)
    d_out = d_logits.T[..., None] * parameters["readout.weight"]
    *_, gradients = memory_attention_backward(d_out, cache)
    gradients["readout.weight"] = np.einsum("nb,nbc->c", d_logits.T, out)
    gradients["readout.bias"] = d_logits.sum(keepdims=True)[0]
    return loss, logits, gradients


def by_autograd(parameters, inputs, truth):
    """The same by PyTorch."""
    twin.load_state_dict({name: torch.from_numpy(parameters[name]) for name in drawn})
    readout = [torch.from_numpy(parameters[f"readout.{part}"]).requires_grad_() for part in ("weight", "bias")]
    out = twin(*map(torch.from_numpy, inputs), grid=(SIDE, SIDE))
    logits = (out @ readout[0] + readout[1]).T
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(truth).float())
    twin.zero_grad()
    loss.backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in twin.named_parameters()}
    gradients |= {
        f"readout.{part}": each.grad.numpy() for part, each in zip(("weight", "bias"), readout, strict=True)
    }
    return loss.item(), logits.detach().numpy(), gradients


twin.float()
ways = {"reference": by_hand, "accelerated": by_autograd}
start = {name: array.astype(np.float32) for name, array in drawn.items()}
start["readout.weight"] = np.random.default_rng(1).standard_normal(16).astype(np.float32) / 4
start["readout.bias"] = np.zeros(1, np.float32)

looks, masks = draw_clips(np.random.default_rng(2), 16)
(one_loss, _, one), (other_loss, _, other) = (
    way(start, as_inputs(looks, masks), masks[1]) for way in ways.values()
)
apart = max(np.abs(one[name] - other[name]).max() / np.abs(other[name]).max() for name in start)
print(
    f"Found: by hand and by autograd the loss is {one_loss:.5f} and {other_loss:.5f}; the gradients differ by {apart:.0e}."
)

# %% [markdown]
# Now training: draw clips, compute the gradients, move every number a little against its gradient. How far, Adam
# says (Kingma and Ba, 2015, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980)): a step goes along a running mean
# of the gradients, divided by the root of a running mean of their squares, so that every number moves about as
# fast.

# %%
STEPS, RATE = 500, 0.01


def iou(logits, truth):
    found = logits > 0
    return ((found & truth).sum(axis=1) / np.maximum((found | truth).sum(axis=1), 1)).mean()


held_out, held_out_masks = draw_clips(np.random.default_rng(99), 200)
test = as_inputs(held_out, held_out_masks)
emptied = [test[0], np.zeros_like(test[1]), *test[2:]]

gradients_of = ways[BACKEND]
parameters = {name: array.copy() for name, array in start.items()}
means, squares = ({name: np.zeros_like(array) for name, array in start.items()} for _ in range(2))
draw, losses, measured = np.random.default_rng(3), [], {}
for step in range(STEPS + 1):
    if step % 50 == 0:
        measured[step] = [
            iou(gradients_of(parameters, some, held_out_masks[1])[1], held_out_masks[1])
            for some in (test, emptied)
        ]
    looks, masks = draw_clips(draw, 32)
    loss, _, gradients = gradients_of(parameters, as_inputs(looks, masks), masks[1])
    losses.append(loss)
    for name, array in parameters.items():
        means[name] += 0.1 * (gradients[name] - means[name])
        squares[name] += 0.01 * (gradients[name] ** 2 - squares[name])
        mean, square = means[name] / (1 - 0.9 ** (step + 1)), squares[name] / (1 - 0.99 ** (step + 1))
        array -= (RATE * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)

steps, ious = np.array(list(measured)), np.array(list(measured.values()))
copied = (
    (held_out_masks[0] & held_out_masks[1]).sum(axis=1) / (held_out_masks[0] | held_out_masks[1]).sum(axis=1)
).mean()
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2))
axes[0].semilogy(losses, color="0.8", lw=0.8, label="each step")
axes[0].semilogy(np.convolve(losses, np.ones(20) / 20, "valid"), color=BLUE, label="mean of the next 20")
axes[0].set(xlabel="step", ylabel="loss (cross-entropy)", title=f"training, {BACKEND} backend")
axes[0].minorticks_off()
axes[0].set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
axes[0].legend(frameon=False)
axes[1].plot(steps, ious[:, 0], "o-", color=BLUE, label="with the memory")
axes[1].plot(steps, ious[:, 1], "s--", color=ORANGE, label="with an emptied memory")
axes[1].axhline(copied, color=GREY, ls=":", label="the mask of the memory, copied")
axes[1].set(xlabel="step", ylabel="mean IoU", title="200 clips that it never saw", ylim=(-0.02, 1))
axes[1].legend(frameon=False)
plt.show()
print(
    f"Found: after {STEPS} steps the object is found with an IoU of {ious[-1, 0]:.2f} (before: {ious[0, 0]:.2f}); "
    f"with an emptied memory {ious[-1, 1]:.2f}, by copying the mask {copied:.2f}."
)

# %% [markdown]
# What has it learned? Below are three of the held-out clips: the memory with the object outlined, the frame with
# the truth, the probability of each cell, and where the first cell of the object looks in the memory, before and
# after the training.

# %%
trained = {f"{prefix}{name}": parameters[name] for name in drawn}
untrained = {f"{prefix}{name}": start[name] for name in drawn}
models = {
    "before": ma.load(config, BACKEND, weights=untrained),
    "after": ma.load(config, BACKEND, weights=trained),
}
logits = gradients_of(parameters, test, held_out_masks[1])[1]


def seen_by_object(model, clip):
    """The attention of the object's first cell, the mean over the heads [6, 6]."""
    tokens = [each[:, clip : clip + 1] for each in test]
    cell = int(np.flatnonzero(held_out_masks[1, clip])[0])
    return (
        model.attention_map(*tokens, grid=(SIDE, SIDE), layer=0, queries=cell)[0, :, 0]
        .mean(axis=0)
        .reshape(SIDE, SIDE)
    )


def draw_looks(axis, looks, mask, title):
    axis.imshow(np.clip(0.5 + looks[:, :3] / 4, 0, 1).reshape(SIDE, SIDE, 3))
    rows, columns = np.divmod(np.flatnonzero(mask), SIDE)
    for colour, wide in (("white", 4), (ORANGE, 2)):
        corner = (columns.min() - 0.5, rows.min() - 0.5)
        axis.add_patch(plt.Rectangle(corner, 2, 2, fill=False, ec=colour, lw=wide))
    axis.set_title(title)


figure, axes = plt.subplots(3, 5, figsize=(9.5, 5.4))
for clip, line in enumerate(axes):
    draw_looks(line[0], held_out[0, clip], held_out_masks[0, clip], "memory" if clip == 0 else "")
    draw_looks(line[1], held_out[1, clip], held_out_masks[1, clip], "frame, and truth" if clip == 0 else "")
    probability = 1 / (1 + np.exp(-logits[clip].reshape(SIDE, SIDE)))
    found_cells = line[2].imshow(probability, cmap="cividis", vmin=0, vmax=1)
    maps = {name: seen_by_object(model, clip) * CELLS for name, model in models.items()}
    for axis, (name, heat) in zip(line[3:], maps.items(), strict=True):
        looked = axis.imshow(heat, cmap="viridis", vmin=0, vmax=9)
        axis.set_title(f"looks, {name}" if clip == 0 else "")
    line[2].set_title("found" if clip == 0 else "")
    for axis in line:
        axis.set(xticks=[], yticks=[])
figure.colorbar(found_cells, ax=axes[:, 2], label="probability", location="bottom", shrink=0.8)
figure.colorbar(
    looked, ax=axes[:, 3:], label="attention, multiples of uniform", location="bottom", shrink=0.6, extend="max"
)
plt.show()


def on_object(model):
    shares = [seen_by_object(model, clip)[held_out_masks[0, clip].reshape(SIDE, SIDE)].sum() for clip in range(50)]
    return np.mean(shares)


shares = {name: on_object(model) for name, model in models.items()}
print(
    f"Found: of the attention of the object's first cell {shares['before']:.0%} fell on the remembered object before the "
    f"training and {shares['after']:.0%} after it; its share of area is {4 / CELLS:.0%}."
)

# %% [markdown]
# Nobody told the layer where to look. The loss asked for the right mask; the gradients through softmax asked
# queries and keys of like looks to move together, since there the marked value was; and so the attention came by
# itself. This is in small what happens when SAM 2 is trained.
#
# In large, by its paper (section 4 and appendix C.2 of its first version; SAM 2.1 saw longer clips too): a clip has 8
# frames, with three objects at most. One or two frames are prompted, the first always; the prompt is the true mask
# with a chance of a half, a click or a box with one of a quarter each, and clicks that correct errors may follow. The
# loss counts the masks, their predicted quality, and whether the object is there. Half of the clips are played
# backwards.
#
# Videos in use have hundreds of frames. The paper calls 8 a balance of speed and accuracy; every frame's numbers have to be
# kept for the way back. And 8 is just what a bank shows: the last frame of a clip sees one prompted frame and six recent
# ones, which are all that there were. An older prompted frame the network never met: that, and that prompted frames are
# rarer, is the paper's reason for giving them no age ([which frame has which
# slot](../reference/README.md#which-frame-has-which-slot)).
#
# How small may it be? This one has 3,120 parameters, and memory matters to it; how far down one can go was not tried. The
# tracker of the other notebooks has 125,440 in its memory attention, for images of 128 × 128.
#
# ## To try
#
# 1. Leave out the second block, so that the frame has one only. What does the emptied memory score after the
#    training, and why?
# 2. Set `RATE` to 0.1, and to 0.0001. What do you expect of the loss?
# 3. Plant a mistake in a gradient, for example leave out the way past in `cross_attention_backward` (return `d_x`
#    where `d_out + d_x` is right). Does the check of section 6 find it? Does the training still work?
#
# <details>
# <summary>Answers</summary>
#
# 1. Still nothing. One block of four like cells could be seen in the frame alone, by self-attention; but the layer
#    found the way through the memory first, and with that the loss is small and nobody asks for another way. Which
#    of two sources a network uses is decided by which is learned more easily. So can a tracker come to ignore a
#    part of its memory that would serve.
# 2. In both cases the object is not found. At 0.0001 the numbers, which are some tenths themselves, hardly get
#    anywhere in these few steps. At 0.1 they are thrown about, and the loss stays where saying "no cell is the
#    object" brings it, which is the plateau of the first hundred steps above.
# 3. The check finds it at once: everything that comes before the mistake is off by as much as it is long. The
#    training hardly suffers: an IoU of 0.89 in place of 0.92. A gradient that is partly right points downhill
#    still. That is why gradients are checked, and not judged by a loss curve.
#
# </details>
