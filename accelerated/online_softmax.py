"""The mean of values weighted by softmax, for a block of queries that meets its keys a tile at a time.

Source: Milakov and Gimelshein, 2018, arXiv:1805.02867; FlashAttention, Dao et al., 2022, arXiv:2205.14135.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

SAFE_EXPONENT = 60.0
"""2^60 times a million keys is far from float32's largest number, 2^128, and 2^-60 from its least.

Values between 1e-18 and 1e14 in magnitude have room there.
"""


def logit_scale(head_dim: int) -> float:
    """What a query is multiplied by, so that its logits are in base 2: on CPUs exp2 is faster than exp."""
    return math.log2(math.e) / math.sqrt(head_dim)


def is_bounded(query: Float[Tensor, "n d"], longest_key: Float[Tensor, ""]) -> bool:
    """Whether no logit can overflow: none is larger than the longest query times the longest key.

    That is the inequality of Cauchy and Schwarz; `query` is scaled. False where a number is not finite.
    """
    return bool(query.norm(dim=-1).amax() * longest_key <= SAFE_EXPONENT)


def with_one(tokens: Float[Tensor, "*rest K"]) -> Float[Tensor, "*rest K+1"]:
    """Tokens with a last channel of ones: as values they count the weights, as memories they meet a bias."""
    extended = tokens.new_ones(*tokens.shape[:-1], tokens.shape[-1] + 1)
    extended[..., :-1] = tokens
    return extended


class OnlineSoftmax:
    """Sums of values weighted by 2^logit, and of the weights, over the tiles of keys that were added.

    Where the logits are `bounded` nothing can overflow, and softmax needs no largest logit; else the
    largest is kept as it grows, and what was summed before is corrected.
    """

    def __init__(self, query: Float[Tensor, "n d"], channels: int, bounded: bool) -> None:
        self.sums = query.new_zeros(channels + 1, len(query))
        self.largest = None if bounded else query.new_full((len(query),), -math.inf)

    def add(self, logits: Float[Tensor, "m n"], values: Float[Tensor, "m K+1"]) -> None:
        """Add a tile of keys; `logits` are overwritten, the last channel of `values` is one."""
        if self.largest is not None:
            largest = torch.maximum(self.largest, logits.amax(dim=0))
            logits.sub_(largest)
            self.sums.mul_((self.largest - largest).exp2_())
            self.largest = largest
        torch.addmm(self.sums, values.T, logits.exp2_(), out=self.sums)

    def mean(self) -> Float[Tensor, "n K"]:
        """The mean of the values for every query."""
        return (self.sums[:-1] / self.sums[-1]).T
