"""A memory attention with SAM 2's class, parameter and attribute names, and callers that call as SAM 2's do.

Written for these tests from the description: SAM 2's own package can be no dependency.
"""

import copy
import functools

import torch
from torch import nn
from torch.nn import functional as F


def turns(dim, end_x, end_y, theta):
    """A unit complex number for each token and pair of channels."""
    frequencies = theta ** (-4 * torch.arange(dim // 4) / dim)
    y, x = torch.meshgrid(torch.arange(int(end_y)), torch.arange(int(end_x)), indexing="ij")
    angles = torch.cat([place.flatten()[:, None] * frequencies for place in (x, y)], dim=1)
    return torch.polar(torch.ones_like(angles), angles)


class Attention(nn.Module):
    def __init__(self, embedding_dim, num_heads, downsample_rate=1, dropout=0.0, kv_in_dim=None):
        super().__init__()
        self.embedding_dim, self.num_heads, self.dropout_p = embedding_dim, num_heads, dropout
        self.kv_in_dim, self.internal_dim = kv_in_dim or embedding_dim, embedding_dim // downsample_rate
        self.q_proj = nn.Linear(embedding_dim, self.internal_dim)
        self.k_proj = nn.Linear(self.kv_in_dim, self.internal_dim)
        self.v_proj = nn.Linear(self.kv_in_dim, self.internal_dim)
        self.out_proj = nn.Linear(self.internal_dim, embedding_dim)

    def turned(self, q, k, num_k_exclude_rope):
        return q, k

    def forward(self, q, k, v, num_k_exclude_rope=0):
        def heads(x):
            return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        q, k, v = heads(self.q_proj(q)), heads(self.k_proj(k)), heads(self.v_proj(v))
        q, k = self.turned(q, k, num_k_exclude_rope)
        dropout = self.dropout_p if self.training else 0.0
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, dropout_p=dropout).transpose(1, 2).flatten(2))


class RoPEAttention(Attention):
    def __init__(self, *args, rope_theta=10000.0, rope_k_repeat=False, feat_sizes=(64, 64), **kwargs):
        super().__init__(*args, **kwargs)
        self.compute_cis = functools.partial(turns, dim=self.internal_dim // self.num_heads, theta=rope_theta)
        self.freqs_cis = self.compute_cis(end_x=feat_sizes[0], end_y=feat_sizes[1])
        self.rope_k_repeat = rope_k_repeat

    def turned(self, q, k, num_k_exclude_rope):
        tokens = q.shape[-2]
        if len(self.freqs_cis) != tokens:
            self.freqs_cis = self.compute_cis(end_x=tokens**0.5, end_y=tokens**0.5)

        def turn(x, by):
            pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
            return torch.view_as_real(pairs * by).flatten(-2).type_as(x)

        spatial = k.shape[-2] - num_k_exclude_rope
        by = self.freqs_cis.repeat(spatial // tokens, 1)
        return turn(q, self.freqs_cis), torch.cat([turn(k[..., :spatial, :], by), k[..., spatial:, :]], dim=-2)


class MemoryAttentionLayer(nn.Module):
    def __init__(
        self,
        activation,
        cross_attention,
        d_model,
        dim_feedforward,
        dropout,
        pos_enc_at_attn,
        pos_enc_at_cross_attn_keys,
        pos_enc_at_cross_attn_queries,
        self_attention,
    ):
        super().__init__()
        self.d_model, self.dim_feedforward, self.dropout_value = d_model, dim_feedforward, dropout
        self.self_attn, self.cross_attn_image = self_attention, cross_attention
        self.linear1, self.linear2 = nn.Linear(d_model, dim_feedforward), nn.Linear(dim_feedforward, d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.dropout, self.dropout1, self.dropout2, self.dropout3 = (nn.Dropout(dropout) for _ in range(4))
        self.activation_str, self.activation = activation, getattr(F, activation)
        self.pos_enc_at_attn = pos_enc_at_attn
        self.pos_enc_at_cross_attn_keys = pos_enc_at_cross_attn_keys
        self.pos_enc_at_cross_attn_queries = pos_enc_at_cross_attn_queries

    def forward(self, tgt, memory, pos=None, query_pos=None, num_k_exclude_rope=0):
        y = self.norm1(tgt)
        q = y + query_pos if self.pos_enc_at_attn else y
        x = tgt + self.dropout1(self.self_attn(q, q, v=y))
        y = self.norm2(x)
        q = y + query_pos if self.pos_enc_at_cross_attn_queries else y
        k = memory + pos if self.pos_enc_at_cross_attn_keys else memory
        x = x + self.dropout2(self.cross_attn_image(q=q, k=k, v=memory, num_k_exclude_rope=num_k_exclude_rope))
        return x + self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(self.norm3(x))))))


class MemoryAttention(nn.Module):
    def __init__(self, d_model, pos_enc_at_input, layer, num_layers, batch_first=True):
        super().__init__()
        self.d_model, self.num_layers, self.batch_first = d_model, num_layers, batch_first
        self.layers = nn.ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(d_model)
        self.pos_enc_at_input = pos_enc_at_input

    def forward(self, curr, memory, curr_pos=None, memory_pos=None, num_obj_ptr_tokens=0):
        if isinstance(curr, list):
            (curr,), (curr_pos,) = curr, curr_pos
        x = curr + 0.1 * curr_pos if self.pos_enc_at_input else curr
        if self.batch_first:
            x, curr_pos, memory, memory_pos = (t.transpose(0, 1) for t in (x, curr_pos, memory, memory_pos))
        for layer in self.layers:
            x = layer(
                tgt=x, memory=memory, pos=memory_pos, query_pos=curr_pos, num_k_exclude_rope=num_obj_ptr_tokens
            )
        x = self.norm(x)
        return x.transpose(0, 1) if self.batch_first else x


class Predictor(nn.Module):
    """What holds a memory attention and calls it with lists of one, as SAM 2's and its forks' do."""

    def __init__(self, memory_attention):
        super().__init__()
        self.memory_attention = memory_attention

    def forward(self, curr, memory, curr_pos, memory_pos, pointers):
        return self.memory_attention(
            curr=[curr], curr_pos=[curr_pos], memory=memory, memory_pos=memory_pos, num_obj_ptr_tokens=pointers
        )


class PlainPredictor(Predictor):
    """Ultralytics': tensors, not lists; no dropout in attentions, and an activation without a name."""

    def __init__(self, memory_attention):
        super().__init__(memory_attention)
        for layer in memory_attention.layers:
            layer.activation = nn.GELU()
            del layer.activation_str, layer.self_attn.dropout_p, layer.cross_attn_image.dropout_p

    def forward(self, curr, memory, curr_pos, memory_pos, pointers):
        return self.memory_attention(
            curr=curr, curr_pos=curr_pos, memory=memory, memory_pos=memory_pos, num_obj_ptr_tokens=pointers
        )


YAML = """
model:
  _target_: {package}.Predictor
  memory_attention:
    _target_: {module}.MemoryAttention
    d_model: 128
    pos_enc_at_input: true
    layer:
      _target_: {module}.MemoryAttentionLayer
      activation: gelu
      dim_feedforward: 40
      dropout: 0.2
      pos_enc_at_attn: true
      self_attention:
        _target_: {module}.RoPEAttention
        rope_theta: 500.0
        feat_sizes: [7, 4]
        embedding_dim: 128
        num_heads: 2
        downsample_rate: 4
        dropout: 0.3
      d_model: 128
      pos_enc_at_cross_attn_keys: true
      pos_enc_at_cross_attn_queries: true
      cross_attention:
        _target_: {module}.RoPEAttention
        rope_theta: 300.0
        feat_sizes: [7, 4]
        rope_k_repeat: true
        embedding_dim: 128
        num_heads: 4
        downsample_rate: 2
        dropout: 0.1
        kv_in_dim: 64
    num_layers: 2
"""


def build(module=__name__, predictor=Predictor):
    """A predictor as Hydra builds it from a YAML file in which that module's classes stand."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    built = instantiate(OmegaConf.create(YAML.format(package=__name__, module=module)).model, _recursive_=True)
    return predictor(built.memory_attention)
