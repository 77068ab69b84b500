# %% [markdown]
# # Do they agree?
#
# This project has one computation twice: a reference in NumPy, to be read, and a twin in PyTorch, to be fast.
# Whoever uses the twin relies on the two being the same. This notebook shows how that is tested, and how good such
# a test is:
#
# 1. what "the same" can mean for numbers that are rounded;
# 2. the bounds, and the error of every step in four dtypes;
# 3. a second rule, that nobody is much worse than the textbook formula;
# 4. what large logits do to the error;
# 5. a bug, planted on purpose, and how `hypothesis` finds it and shrinks it to the smallest example that shows it;
# 6. what this kind of test cannot see.

# %%
BACKEND = "reference"

# %% [markdown]
# Sections 2 to 4 measure both backends side by side. In section 5 the bug is planted in the backend named above,
# and the other one stays sound: agreement is symmetric, so it is found either way. All of this needs PyTorch and
# hypothesis.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

import memory_attention as ma
from memory_attention import accelerated, reference
from memory_attention.accelerated.attention import scaled_dot_product_attention as fused
from memory_attention.compare import largest_logit
from memory_attention.inputs import Inputs, draw_inputs
from memory_attention.tolerances import BOUNDS, EPSILON, LARGEST, bound, bound_beside_textbook

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#8a8a8a"
plt.rcParams |= {"figure.dpi": 110, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}

# %% [markdown]
# ## 1. What "the same" can mean
#
# Floating-point addition is not associative. Here the same 4096 numbers are summed in three orders, in float32.

# %%
numbers = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
exact = math.fsum(numbers.tolist())
sums = {
    "first to last": np.cumsum(numbers)[-1],
    "last to first": np.cumsum(numbers[::-1])[-1],
    "NumPy's sum, in pairs": numbers.sum(),
}
for order, result in sums.items():
    print(f"{order:22} {result:.6f}   error {abs(result - exact):.1e}")
print(f"{'exact':22} {exact:.6f}")
print(f"Found: three orders, {len({float(result) for result in sums.values()})} different sums.")

# %% [markdown]
# None of the three is wrong. A matrix product on another processor, with another number of threads, or in tiles,
# sums in another order too, so two sound programs will not agree to the last bit, and a test that asks for it
# would be testing the order of a sum. What can be asked is that each is close to the *truth*. (PyTorch's own kernels for one
# and the same attention are such programs: `math` makes the whole table; `efficient` and `flash` go in tiles, of other
# sizes, and correct running sums.)
#
# The truth here is **the reference in float64**: the program that is simple enough to be checked by reading, in a
# precision so high that its own rounding does not matter. There is one point of care. When a backend is tested in
# bfloat16, its inputs and weights have been rounded to bfloat16 before it starts, and that is no fault of its own.
# So the inputs are rounded first, and the truth is computed in float64 *from the rounded numbers*.
#
# ## 2. The bounds, and the error of every step
#
# How close is close enough depends on the dtype. There is one table, in `memory_attention.tolerances` (the folder
# `api` is installed as the package itself, so its file is `api/tolerances.py`), for the tests and for
# `memory-attention compare` alike. An error is relative to the largest magnitude of the truth.

# %%
print("dtype      one unit in the last place   bound     in units")
for dtype, allowed in BOUNDS.items():
    print(f"{dtype:10} {EPSILON[dtype]:26.1e}   {allowed:.0e}   {allowed / EPSILON[dtype]:8.1f}")

# %% [markdown]
# In the two half precisions the bound is a handful of units: every step rounds its result to 8 or 11 significant
# bits, and inside a step sums are kept in float32. In float32 and float64 a sum is kept in the very precision that
# is tested, over some thousand terms, so the bound has more units of room. A bug in the formula, on the other
# hand, makes an error near 1. Between rounding and bugs lie orders of magnitude, and the bound is put between
# them.
#
# Half precision is no corner case. SAM 2 is trained and timed with PyTorch's automatic mixed precision in bfloat16:
# linear maps and attention take numbers rounded to bfloat16, and layer norms stay in float32. The rotation is written
# out in float32 in SAM 2's own code, and what it gives is rounded back to the dtype that came in. The softmax is inside
# the attention's kernel. SAM 2's video predictor also *stores* memories in bfloat16. The reason is not said; a memory
# then takes two bytes a number, half a megabyte at 64 × 64 tokens of 64 channels, and in mixed precision it would be
# rounded on its way into the projections anyway.
#
# *Does it add up from frame to frame?* Known: a memory is made of the image encoder's features, not of features that
# remember, so one frame's rounding reaches the next only through its mask and its pointer. A reasonable explanation why it
# hardly grows: away from its edge a mask's probabilities are zero or one whatever the last digits of the logits, and the
# prompted frame carries no error of tracking. Where a decision is close (which of three masks, in sight or not) rounding can
# tip it, and two runs then differ by more than rounding. It is not measured here.
#
# *And TF32?* NVIDIA's GPUs since Ampere can multiply float32 matrices with factors rounded to eleven significant
# bits, as many as float16 has; sums stay in float32. PyTorch has that off for matrix products
# (`torch.backends.cuda.matmul.allow_tf32`), and SAM 2's `benchmark.py` turns it on. Right code then fails a
# comparison in float32: compare with it off.
#
# `trace` gives the result of every step by name, in both backends. So the error can be watched as it goes through
# the network. This is the small config `tiny`, one layer with two heads, on a grid of 6 × 8 with two memory frames
# and a few object pointers.

# %%
DTYPES = list(BOUNDS)
config = ma.load_config("tiny")


def rounded(array, dtype):
    """The numbers of an array as `dtype` has them, held in float64; what is no array stays as it is."""
    if not isinstance(array, np.ndarray):
        return array
    return torch.from_numpy(array).to(getattr(torch, dtype)).double().numpy()


def relative_error(result, truth):
    """The largest error, relative to the largest magnitude of the truth."""
    return np.abs(np.asarray(result, np.float64) - truth).max() / np.abs(truth).max()


def traced_errors(weights, inputs, dtype, names=None):
    """The truth, and by backend the error of every step, for weights and inputs rounded to `dtype`."""
    weights = {name: rounded(weight, dtype) for name, weight in weights.items()}
    inputs = Inputs(*(rounded(value, dtype) for value in inputs))
    truth = ma.load(config, "reference", weights, dtype="float64").trace(*inputs, names=names)
    errors = {}
    for backend in ("reference", "accelerated"):
        steps = ma.load(
            config, backend, weights, dtype=dtype, device="cpu" if backend == "accelerated" else None
        ).trace(*inputs, names=names)
        errors[backend] = {name: relative_error(steps[name], truth[name]) for name in truth}
    return truth, errors


weights = ma.draw_weights(config, seed=0)
inputs = draw_inputs(config, memories=2, grid=(6, 8))
by_dtype = {dtype: traced_errors(weights, inputs, dtype)[1] for dtype in DTYPES}
steps = list(by_dtype["float32"]["accelerated"])

print("largest error of any step, as a share of the bound:")
shares = {}
for dtype in DTYPES:
    worst = {backend: max(errors.values()) for backend, errors in by_dtype[dtype].items()}
    shares[dtype] = max(worst.values()) / BOUNDS[dtype]
    print(
        f"{dtype:10}",
        "   ".join(f"{backend} {error:.1e}" for backend, error in worst.items()),
        f"  {shares[dtype]:.4f}",
    )
halves = [shares[dtype] for dtype in ("float16", "bfloat16")]
print(
    f"Found: in half precision the worst step uses {max(halves):.0%} of its bound, in float32 {shares['float32']:.0%}."
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(10.5, 6.4), sharey=True, sharex=True, layout="constrained")
styles = dict(zip(DTYPES, (("o", BLUE), ("s", GREEN), ("^", ORANGE), ("D", PURPLE)), strict=True))
short = [name.removeprefix("layers.0.") for name in steps]
places = np.arange(len(steps))
for axis, backend in zip(axes, ("accelerated", "reference"), strict=True):
    for dtype, (marker, colour) in styles.items():
        errors = np.array([by_dtype[dtype][backend][name] for name in steps])
        seen = errors > 0
        axis.semilogx(errors[seen], places[seen], marker, color=colour, ms=5, label=dtype)
        axis.axvline(BOUNDS[dtype], color=colour, ls="--", lw=1.2)
    axis.set(xlabel="relative error (dashed: the bound)", title=backend)
    axis.grid(axis="y", color="#dddddd", lw=0.6)
    axis.margins(y=0.02)
    axis.set_axisbelow(True)
axes[0].set_yticks(places, short, fontsize=9)
axes[0].invert_yaxis()
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
plt.show()


# %% [markdown]
# On the left each dtype has its own column of dots, some way to the left of its own dashed line. The steps called
# `attended` and `out`, at the end of an attention, err most. The error does not pile up from there: the residual
# addition that follows brings in the tokens themselves, which are large and carry less error, and every layer norm
# brings the tokens back to one size.
#
# On the right float64 is missing, because the reference in float64 *is* the truth, and a log scale has no place
# for an error of zero. In the two half precisions the reference takes rounded numbers but computes in float32, and
# so it errs as little as in float32.
#
# ## 3. No worse than twice the textbook
#
# A bound that fits all cases is loose for most of them. A fused kernel could lose a factor of ten and still pass.
# So there is a second rule, like the one that FlashAttention's authors use for their own kernels: a result may be
# at most **twice as far from the truth as the plain formula in the same dtype**, plus one unit in the last place.
# The plain formula is the yardstick that adapts to every case by itself: where the numbers are hard for it, the
# rule gives more room.
#
# Errors are *root mean squares* here, relative to that of the truth, and not the largest ones. The largest of a
# few errors is a matter of chance, so a rule for it has to be generous: this one once allowed eight units more,
# which in half precision is above the bound itself, so that it caught nothing there. A mean over all numbers
# hardly varies, and one unit is enough: what a result costs that is rounded once.
#
# Here is that rule for the attention step alone, with 150 random cases in three dtypes. The suite applies it to
# the whole network. A second kernel is put to the test as well, a careless one: it adds up the weighted values key
# by key in the dtype itself, as one might in half precision.


# %%
def textbook(query, key, value):
    """softmax(q kᵀ / √d) v as it is written, softmax in float32."""
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return logits.softmax(-1, dtype=torch.float32).to(value.dtype) @ value


def careless(query, key, value):
    """The same, but the weighted values are added up one by one, each sum rounded to the dtype."""
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    weights = logits.softmax(-1, dtype=torch.float32).to(value.dtype)
    return sum(weights[..., i : i + 1] * value[..., i : i + 1, :] for i in range(key.shape[-2]))


def exactly(query, key, value):
    """The same in float64, as an array."""
    logits = query.double() @ key.double().transpose(-1, -2) / math.sqrt(query.shape[-1])
    return (logits.softmax(-1) @ value.double()).numpy()


def mean_error(result, truth):
    """The root mean square of the errors, relative to that of the truth."""
    result = result.double().numpy()
    return np.sqrt(((result - truth) ** 2).mean() / (truth**2).mean())


rng = np.random.default_rng(0)
compared = {dtype: [] for dtype in ("float32", "float16", "bfloat16")}
for dtype, rows in compared.items():
    for _ in range(50):
        queries, keys, width = rng.integers(1, 200), rng.integers(2, 400), 4 * rng.integers(1, 17)
        scale = np.exp(rng.uniform(-1, 2))
        drawn = [rng.standard_normal((1, 2, n, width)) for n in (queries, keys, keys)]
        drawn[0] *= scale
        qkv = [torch.from_numpy(array).to(getattr(torch, dtype)) for array in drawn]
        truth = exactly(*qkv)
        loose = relative_error(careless(*qkv).double().numpy(), truth) <= BOUNDS[dtype]
        rows.append((*(mean_error(form(*qkv), truth) for form in (textbook, fused, careless)), loose))

for dtype, rows in compared.items():
    plain, kernel, bad, loose = np.array(rows).T
    allowed = bound_beside_textbook(dtype, plain)
    print(
        f"{dtype:9} fused kernel's error / textbook's, median {np.median(kernel / plain):.2f}; "
        f"rule kept in {(kernel <= allowed).sum()} of {len(rows)}; "
        f"the careless one: rule kept in {(bad <= allowed).sum()}, bound kept in {loose.sum():.0f}"
    )
half = [row for dtype in ("float16", "bfloat16") for row in compared[dtype]]
caught = sum(
    bad > bound_beside_textbook(dtype, plain) and loose
    for dtype in ("float16", "bfloat16")
    for plain, _, bad, loose in compared[dtype]
)
print(
    f"Found: in half precision the rule refuses the careless kernel in {caught} of {len(half)} cases that the bound lets pass."
)

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for axis, (dtype, rows) in zip(axes, compared.items(), strict=True):
    marker, colour = styles[dtype]
    plain, kernel, bad, _ = np.array(rows).T / EPSILON[dtype]
    axis.loglog(plain, kernel, marker, color=colour, ms=5, alpha=0.8, label="fused kernel")
    axis.loglog(plain, bad, "x", color="black", ms=5, alpha=0.6, label="careless kernel")
    across = np.geomspace(plain.min() / 1.3, plain.max() * 1.3, 40)
    axis.plot(across, bound_beside_textbook(dtype, across * EPSILON[dtype]) / EPSILON[dtype], "--", color=colour)
    axis.plot(across, across, ":", color="black", lw=1)
    axis.minorticks_off()
    for ticks in (axis.set_xticks, axis.set_yticks):
        ticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    axis.set(title=dtype, xlabel="textbook's error (units in the last place)")
    axis.set(xlim=(across[0], across[-1]), ylim=(0.15, 30))
    axis.legend(frameon=False, loc="upper left", fontsize=9)
axes[0].set_ylabel("kernel's error (units in the last place)")
figure.suptitle("root mean squares; dashed: the most that the rule allows; dotted: equal errors", fontsize=10)
plt.show()

# %% [markdown]
# On the dotted line two forms are equally far from the truth. In half precision the fused kernel lies below it,
# since it keeps its intermediate numbers in float32, where the textbook rounds the logits and the weights to the
# dtype.
#
# ## 4. What large logits do
#
# Softmax turns a small absolute error of a logit into a relative error of a weight. With weights $p =
# \mathrm{softmax}(\ell)$,
#
# $$ \frac{\partial p_i}{\partial \ell_j} = p_i\,(\delta_{ij} - p_j), \qquad\text{so}\qquad \mathrm{d}p_i = p_i \Bigl(\mathrm{d}\ell_i - \sum_j p_j\,\mathrm{d}\ell_j\Bigr) . $$
#
# A logit of size $L$ that is rounded in a dtype with unit $\varepsilon$ carries an error of up to about
# $\varepsilon L / 2$, and hence so does, relatively, each weight. That is no weakness of some program: a query
# that arrives rounded cannot be known better. For this reason `bound` grows in proportion to the largest logit
# once that exceeds 1, up to a cap of 0.3: whatever the logits, a result that is off by more than a third of its
# largest number is no result.
#
# No other step magnifies like that. A rotation leaves lengths as they are, so what it rounds is small beside the
# vector; and a norm brings all tokens to one size, errors included. To see whether the bound should grow, the query
# projection of the cross-attention is multiplied by larger and larger numbers.

# %%
name = "layers.0.cross_attn_image"
watched = [f"{name}.{step}" for step in ("q_rotated", "k_rotated", "attended")]
factors = np.geomspace(0.3, 3000, 9)
growth = {dtype: [] for dtype in DTYPES}
for dtype, rows in growth.items():
    for factor in factors:
        scaled = dict(weights)
        for part in ("weight", "bias"):
            scaled[f"memory_attention.{name}.q_proj.{part}"] = (
                factor * weights[f"memory_attention.{name}.q_proj.{part}"]
            )
        truth, errors = traced_errors(scaled, inputs, dtype, watched)
        reach = largest_logit(truth, f"{name}.k_rotated")
        rows.append((reach, errors["accelerated"][f"{name}.attended"], bound(dtype, reach)))

for dtype, rows in growth.items():
    reach, errors, limits = np.array(rows).T
    growing = limits < LARGEST
    beyond = reach[errors > limits]
    said = f"passes it from logits of {beyond.min():.0f} on" if len(beyond) else "stays inside everywhere"
    share = (errors / limits)[growing].max() if growing.any() else math.nan
    print(f"{dtype:9} uses {share:7.2%} of the bound where that still grows, and {said}")
ends = {dtype: LARGEST / BOUNDS[dtype] for dtype in ("float16", "bfloat16")}
print("Found: the bound holds wherever it grows; the cap is reached at logits of", end=" ")
print(" and ".join(f"{end:.1f} in {dtype}" for dtype, end in ends.items()) + ".")

# %%
figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
for dtype, rows in growth.items():
    marker, colour = styles[dtype]
    reach, errors, limits = np.array(rows).T
    axis.loglog(reach, errors, marker + "-", color=colour, ms=5, label=dtype)
    axis.loglog(reach, limits, "--", color=colour, lw=1.2)
axis.axhline(1, color=GREY, lw=1)
axis.text(
    1.01,
    1,
    "as large as\nthe result",
    transform=axis.get_yaxis_transform(),
    va="center",
    color="#555555",
    fontsize=9,
)
axis.set(xlabel="largest logit that is possible", ylabel="relative error of the attended values")
axis.set(title="accelerated backend; dashed: the bound", ylim=(1e-16, 5))
figure.legend(loc="outside lower center", ncols=4, frameon=False)
plt.show()

# %% [markdown]
# All four curves rise with the logits, and where the bound grows they rise more slowly than it does. The bound
# allows for the worst: it takes the longest query with the longest key, whether or not they meet, and all rounding
# errors on one side. When softmax has become a choice of a single key, there is little left to grow: where the
# winner is clear the result is its value, however wrong the logit. But where two keys are nearly tied, half
# precision picks the wrong one at times, and then the error comes near the result itself, the grey line. That is
# where bfloat16 passes its capped bound. It is no bug, and no bound could help: beyond the cap the inputs, rounded
# to so few digits, no longer say which key wins. A test that draws huge logits in half precision therefore tests
# little, and the suite draws logits of a hundred at most.
#
# ## 5. A bug, planted and found
#
# Now to the question of whether such a test notices anything. Here is a mistake that is easily made. A grid's size
# is written $(h, w)$ in one place and $(w, h)$ in another; SAM 2 itself has both, since images are $(h, w)$ and
# its `feat_sizes` are $(w, h)$. The class below is the backend's own attention, except that it hands the two on in
# the wrong order. Each token then believes to be somewhere else: token $t$ of a grid $w$ wide is at column $t
# \bmod w$ and row $\lfloor t / w \rfloor$, and it takes $h$ for $w$.

# %%
package = {"reference": reference, "accelerated": accelerated}


def mistaken(base):
    """The attention class `base`, with height and width confused."""

    class Mistaken(base):
        def forward(self, q, k, v, num_k_exclude_rope=0, grid=None, **options):
            height, width = grid
            return super().forward(q, k, v, num_k_exclude_rope, (width, height), **options)

    return Mistaken


def build(cls, width, heads, memory_dim, rng):
    """An attention of either package with random weights, as a function of float64 arrays."""
    made = cls(width, heads, kv_in_dim=memory_dim, rope_k_repeat=True, rope_theta=100.0)
    shapes = {name: tuple(value.shape) for name, value in sorted(made.named_parameters())}
    drawn = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    if isinstance(made, reference.RoPEAttention):
        made.load_parameters(drawn)
        return made
    made.double().eval().load_state_dict({name: torch.from_numpy(value) for name, value in drawn.items()})

    def on_arrays(*arrays, **options):
        with torch.inference_mode():
            return made(*map(torch.from_numpy, arrays), **options).numpy()

    return on_arrays


differences = {}
for grid in [(8, 8), (64, 64), (8, 9)]:
    rng = np.random.default_rng(1)
    q, m = (rng.standard_normal((1, grid[0] * grid[1], channels)) for channels in (8, 4))
    here, there = (
        build(cls, 8, 1, 4, np.random.default_rng(0))(q, m, m, grid=grid)
        for cls in (package[BACKEND].RoPEAttention, mistaken(package[BACKEND].RoPEAttention))
    )
    differences[grid] = np.abs(here - there).max()

for grid, difference in differences.items():
    print(f"grid {grid}: sound and mistaken differ by {difference:.1e}")


# %% [markdown]
# On SAM 2's own grid, 64 × 64, as on every square, the bug does nothing at all, and whoever compares on one
# example of the usual size will never see it. It comes out on the day somebody runs a wide image, as on the grid
# of 8 × 9.
#
# The test is a *property*: it says what has to hold, and [hypothesis](https://hypothesis.readthedocs.io) draws the
# examples. Everything that may vary is drawn: the grid, the number of memory frames and pointers, heads, widths,
# and a seed for the numbers.


# %%
def agreement(one, other, calls):
    """The property that two attention classes agree, as a function to be given examples; `calls` keeps a diary."""

    def both_agree(grid, frames, pointers, heads, quarters, memory_dim, objects, seed):
        tokens, width = grid[0] * grid[1], heads * 4 * quarters
        rng = np.random.default_rng(seed)
        query = rng.standard_normal((objects, tokens, width))
        memory = rng.standard_normal((objects, frames * tokens + pointers, memory_dim))
        results = [
            build(cls, width, heads, memory_dim, np.random.default_rng(seed))(
                query, memory, memory, num_k_exclude_rope=pointers, grid=grid
            )
            for cls in (one, other)
        ]
        error = relative_error(results[1], results[0])
        allowed = bound("float64", largest_logit=100)
        calls.append((grid, query.size + memory.size, error > allowed))
        assert error <= allowed, f"the relative error is {error:.1e}, allowed is {allowed:.0e}"

    return both_agree


sides = st.integers(1, 6)
ranges = {
    "frames": st.integers(1, 3),
    "pointers": st.integers(0, 5),
    "heads": st.sampled_from([1, 2, 4]),
    "quarters": st.integers(1, 4),
    "memory_dim": st.integers(1, 8),
    "objects": st.integers(1, 3),
    "seed": st.integers(0, 2**32 - 1),
}


def search(check, grids, max_examples=100):
    """What hypothesis reports: it draws the same examples every time, and keeps nothing on disk."""
    quiet = settings(max_examples=max_examples, derandomize=True, database=None, deadline=None)
    try:
        quiet(given(grid=grids, **ranges)(check))()
    except AssertionError as failure:
        return "\n".join([f"FAILED: {failure}", *getattr(failure, "__notes__", [])])
    return "passed"


sound, planted = (
    (reference.RoPEAttention, mistaken(accelerated.RoPEAttention))
    if BACKEND == "accelerated"
    else (accelerated.RoPEAttention, mistaken(reference.RoPEAttention))
)

# %% [markdown]
# First a test by somebody who has SAM 2 in mind, and draws square grids only:

# %%
diary = []
report = search(agreement(sound, planted, diary), sides.map(lambda side: (side, side)))
print(f"Found: {report}; of {len(diary)} examples {sum(failed for *_, failed in diary)} failed.")

# %% [markdown]
# All those examples, and no complaint. A test is only as good as what it draws. Now height and width apart:

# %%
diary = []
print(search(agreement(sound, planted, diary), st.tuples(sides, sides)))

# %% [markdown]
# This is the *minimal* example, not the first that failed. Having found a failure, hypothesis tries to make each
# part of it simpler, keeps what still fails, and goes on until nothing can be made simpler. What is left is worth
# reading line by line, because everything in it that is not needed is gone:
#
# - `grid=(1, 2)`: two tokens side by side are enough, and one token is not. So it is about *places*, and about
#   places along one axis. (It could not be 1 × 1 or 2 × 2: squares pass.)
# - `frames=1`, `pointers=0`, `heads=1`, `objects=1`: neither memory frames nor pointers, neither heads nor the
#   batch have to do with it. Whole suspects are struck off the list.
# - `quarters=1`, `memory_dim=1`: the narrowest attention will do.
# - `seed=0`: no special numbers are needed.
#
# Hypothesis even says so itself: after shrinking it varies each part once more, and marks with "or any other
# generated value" those that may be anything. The one part without that comment is the grid.
#
# Somebody who knows the formula can go straight to the cause from here. A row of two tokens has the positions $x =
# 0, 1$ and $y = 0$. With height and width confused the second token is at $x = 0$, $y = 1$: its query and key turn
# in the channels that belong to $y$, and not in those that belong to $x$.
#
# How it gets there can be watched. Hypothesis tries small examples first, and with this bug they fail soon, so
# that little remains to be shrunk. For a longer way, the search below is allowed fewer than ten examples, which
# makes it leave out the small ones, and it begins with a seed whose first failure happens to be large. Every call
# of the property is a dot, as high as the count of numbers in its queries and memory.

# %%
diary = []
way = settings(
    max_examples=9,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
)
try:
    seed(14)(way(given(grid=st.tuples(sides, sides), **ranges)(agreement(sound, planted, diary))))()
except AssertionError:
    sizes = np.array([size for _, size, _ in diary])
    failed = np.array([failure for *_, failure in diary])

first, last = np.flatnonzero(failed)[[0, -1]]
calls = np.arange(1, len(diary) + 1)
figure, axis = plt.subplots(figsize=(8, 3.8), layout="constrained")
axis.semilogy(calls[~failed], sizes[~failed], "o", mfc="none", color=GREY, ms=6, label="agrees")
axis.semilogy(calls[failed], sizes[failed], "s", color=ORANGE, ms=6, label="differs")
axis.axvline(first + 1, color=GREY, lw=1, ls=":")
axis.axhline(sizes[last], color=BLUE, lw=1, ls="--")
axis.text(1.01, sizes[last], "the minimal\nexample", va="center", color=BLUE, transform=axis.get_yaxis_transform())
axis.set(xlabel="call of the property", ylabel="numbers drawn")
axis.set(title="left of the dotted line: the search; right of it: the shrinking")
axis.legend(frameon=False, loc="upper right")
plt.show()
print(f"call {first + 1} is the first to fail, with grid {diary[first][0]} and {sizes[first]} numbers")
print(f"call {last + 1} is the last to fail, with grid {diary[last][0]} and {sizes[last]} numbers")
print(f"Found: shrinking took {len(diary) - first - 1} calls, and left {sizes[last]} numbers of {sizes[first]}.")

# %% [markdown]
# The orange squares step down: each is simpler than the last, and still fails. The grey circles are examples that
# agree; on the right of the dotted line they are simplifications that went too far.
#
# ## 6. What agreement cannot see
#
# Two programs that make the same mistake agree. That is no far-fetched case: both twins were written by the same
# people from the same page. Here both get the confused grid.

# %%
diary = []
both = agreement(*(mistaken(part.RoPEAttention) for part in package.values()), diary)
report = search(both, st.tuples(sides, sides))
print(f"Found: {report}; of {len(diary)} examples {sum(failed for *_, failed in diary)} failed.")


# %% [markdown]
# So the suite has tests of another kind beside agreement: properties that pin down the mathematics, which a
# program either has or has not, whoever else agrees with it. Axial rotation has a fine one. *The score of a query
# and a key depends only on the offset of their places.* Give every token of a grid the same vector, take the
# rotated queries and keys out of the attention, and move both places by one column, or by one row: no score may
# change.


# %%
def rotated(cls, grid, width, seed):
    """Queries and keys [h·w, width] after rotation, where every token is the same vector."""
    rng, kept = np.random.default_rng(seed), {}

    def record(name, value):
        kept[name] = np.asarray(value)
        return value

    tokens = grid[0] * grid[1]
    query, memory = (np.tile(rng.standard_normal(channels), (1, tokens, 1)) for channels in (width, 3))
    build(cls, width, 1, 3, rng)(query, memory, memory, grid=grid, record=record)
    return kept["q_rotated"][0, 0], kept["k_rotated"][0, 0]


def only_the_offset_counts(cls):
    def check(grid, quarters, seed):
        query, key = rotated(cls, grid, 4 * quarters, seed)
        scores = (query @ key.T).reshape(*grid, *grid)
        moved_down = scores[1:, :, 1:] - scores[:-1, :, :-1]
        moved_right = scores[:, 1:, :, 1:] - scores[:, :-1, :, :-1]
        change = max((np.abs(moved).max() for moved in (moved_down, moved_right) if moved.size), default=0.0)
        assert change <= 1e-11 * np.abs(scores).max(), f"scores change by {change:.1e}"

    return check


ranges = {"quarters": st.integers(1, 4), "seed": st.integers(0, 2**32 - 1)}
classes = {"sound": package[BACKEND].RoPEAttention, "mistaken": mistaken(package[BACKEND].RoPEAttention)}
reports = {label: search(only_the_offset_counts(cls), st.tuples(sides, sides)) for label, cls in classes.items()}
print("\n\n".join(f"the {label} class {report}" for label, report in reports.items()))
print("\nFound: the property alone, without a second program, refuses:", end=" ")
print(", ".join(label for label, report in reports.items() if report != "passed"))

# %% [markdown]
# This property finds the bug without any second program. Its minimal example is another one, a grid with two rows
# or columns one way and three the other, and that can be understood too: in a single row of tokens, however long,
# the mistaken class merely turns the wrong channels, by angles that are still proportional to the distance. Only
# where a row ends in the wrong place does the offset of two neighbours change. What one property cannot see,
# another can, and none of them sees everything: that rotation preserves the length of a vector, for instance,
# holds for the mistaken class in every grid.
#
# ## To take along
#
# - The truth is the simple program in high precision, from inputs that are rounded first; the bound is a table by
#   dtype that grows with the logits; the plain formula in the same dtype is the second yardstick.
# - A property is as good as the examples it can draw. Draw what nobody would choose: flat grids, one token, no
#   pointers, three objects.
# - A shrunk example is half the explanation.
# - Agreement alone is blind to shared mistakes. Properties of the mathematics, fixed golden values, and an
#   implementation by other people see those.
#
# The suite plants a row of bugs in the same way: `tests/faults.py`.
#
# To try:
#
# 1. Plant another bug in `mistaken`: hand on `num_k_exclude_rope=0` where pointers were given. Predict the minimal
#    example before you run it.
# 2. Which of the two rules finds a kernel that forgets to divide by $\sqrt d$?
# 3. Is there a bug that every property and both rules let pass, and a user would notice?
#
# <details>
# <summary>Answers</summary>
#
# 1. There are two minimal examples, because the bug fails in two ways. With `grid=(1, 2)` and one pointer the keys
#    are no whole number of frames, and the attention refuses them. With two pointers they are, and the two are turned
#    as if they were one more frame: the results differ. On a grid of one cell nothing happens, since a pointer
#    turned by zero is a pointer not turned.
# 2. Both: that is a wrong formula, and its error is as large as the result.
# 3. One that needs what no test draws: a size, a dtype, a device, a number beyond the ranges. That is why the
#    ranges are wide, and why a bug that somebody reports becomes a drawn example.
#
# </details>
