"""The plain textbook formula in PyTorch, written straight down and apart from our packages.

No kernels, no tricks, and the rotation in complex numbers: what an accelerated result may be at most
twice as far from the truth as.
"""

import torch
from torch.nn import functional as F


def rotate(x, height, width, theta):
    """The rotation as SAM 2 writes it: channel pairs are complex numbers, turned by a phase factor."""
    quarter = x.shape[-1] // 4
    working = torch.promote_types(x.dtype, torch.float32)
    frequency = 1.0 / theta ** (torch.arange(quarter, dtype=torch.float64) * 4 / x.shape[-1])
    columns = torch.arange(width).repeat(height).double()
    rows = torch.arange(height).repeat_interleave(width).double()
    phase = torch.cat([columns[:, None] * frequency, rows[:, None] * frequency], dim=1)
    turn = torch.polar(torch.ones_like(phase), phase).to(x.device)
    pairs = torch.view_as_complex(x.to(working).reshape(*x.shape[:-1], x.shape[-1] // 2, 2).contiguous())
    turn = turn.to(pairs.dtype)
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


def attention(weights, name, config, grid, query, key, value, pointers):
    def project(part, x):
        y = F.linear(x, weights[f"{name}.{part}_proj.weight"], weights[f"{name}.{part}_proj.bias"])
        return y.reshape(*y.shape[:2], config.num_heads, -1).permute(0, 2, 1, 3)

    q, k, v = project("q", query), project("k", key), project("v", value)
    if config.rotary:
        places = q.shape[2]
        cut = k.shape[2] - pointers
        q = rotate(q, *grid, config.rope_theta)
        frames = [rotate(frame, *grid, config.rope_theta) for frame in k[:, :, :cut].split(places, dim=2) if cut]
        k = torch.cat([*frames, k[:, :, cut:]], dim=2)
    logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
    probabilities = logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32)).to(v.dtype)
    heads = (probabilities @ v).permute(0, 2, 1, 3)
    heads = heads.reshape(*heads.shape[:2], -1)
    return F.linear(heads, weights[f"{name}.out_proj.weight"], weights[f"{name}.out_proj.bias"])


def memory_attention(config, weights, curr, memory, curr_pos, memory_pos, pointers, grid):
    """The network of `config` on tensors of one dtype; weights without the prefix."""
    network, layer = config.memory_attention, config.memory_attention.layer
    activation = {"relu": F.relu, "gelu": F.gelu, "glu": F.glu}[layer.activation]

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    def batch_first(x):
        return x.transpose(0, 1) if network.batch_first and x is not None else x

    x = curr + 0.1 * curr_pos if network.pos_enc_at_input and curr_pos is not None else curr
    x, memory, curr_pos, memory_pos = map(batch_first, (x, memory, curr_pos, memory_pos))
    for index in range(network.num_layers):
        here = f"layers.{index}"
        y = norm(f"{here}.norm1", x)
        q = y + curr_pos if layer.pos_enc_at_attn else y
        x = x + attention(weights, f"{here}.self_attn", layer.self_attention, grid, q, q, y, 0)
        q = norm(f"{here}.norm2", x)
        q = q + curr_pos if layer.pos_enc_at_cross_attn_queries else q
        k = memory + memory_pos if layer.pos_enc_at_cross_attn_keys else memory
        x = x + attention(weights, f"{here}.cross_attn_image", layer.cross_attention, grid, q, k, memory, pointers)
        hidden = F.linear(
            norm(f"{here}.norm3", x), weights[f"{here}.linear1.weight"], weights[f"{here}.linear1.bias"]
        )
        x = x + F.linear(activation(hidden), weights[f"{here}.linear2.weight"], weights[f"{here}.linear2.bias"])
    return batch_first(norm("norm", x))
