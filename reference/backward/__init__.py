"""Gradients by hand: for each step of the reference a pair beside it, in a file of the same name.

`step_forward(…)` returns the step's output and a *cache*, what its backward needs to remember.
`step_backward(d_out, cache)` takes the gradient of some number L by that output, d_out = ∂L/∂out, which has the
shape of the output, and returns those by the step's inputs, in their order, and by its parameters under SAM 2's
names. A step of many is then the chain rule: the same steps backwards, each handing to the one before what
it was handed. Where a value is used twice, the gradients of its uses add up.

Gradients are in float32 or better. There is no dropout, as in the reference. The sine encodings have nothing to
learn and no input to pass a gradient to, so `position` has the rotation alone.
Source: Rumelhart, Hinton and Williams, 1986, doi:10.1038/323533a0.
"""

from .memory_attention import memory_attention_backward, memory_attention_forward

__all__ = ["memory_attention_backward", "memory_attention_forward"]
