"""Which of PyTorch's attention kernels a problem gets on this machine."""

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend


def kernel_in_use(query: Tensor, key: Tensor, value: Tensor) -> str:
    """The name of the kernel that `F.scaled_dot_product_attention` would pick, "math" being the slow path.

    `query` [B,H,N,d], `key` [B,H,M,d] and `value` [B,H,M,c] may be small: the choice goes by widths,
    dtype and device.
    """
    choice = torch._fused_sdp_choice(query, key, value)
    return SDPBackend(choice).name.lower()
