"""The small networks around the memory attention, written once for NumPy and PyTorch.

Sizes: an image of S×S pixels is a fine grid of 2h×2w cells of P×P pixels, and a grid of h×w tokens of
2P×2P pixels. Arrays keep their channels last. `ops` is `numpy_ops` or `torch_ops`, `parameters` maps
names to arrays of that kind.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from jaxtyping import Float

from ..configs import Config

Array = Any
Parameters = Mapping[str, Array]

FINE = 2  # cells of the fine grid per token, each way
FINE_CHANNELS = 32


def patches(x: Float[Array, "B H W c"], size: int) -> Float[Array, "B h w K"]:
    """Cut an image into patches of size × size and put each one's numbers side by side."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    return x.swapaxes(2, 3).reshape(batch, height // size, width // size, size * size * channels)


def unpatch(x: Float[Array, "B h w K"], size: int) -> Float[Array, "B H W c"]:
    """Lay patches of size × size out as an image again: the inverse of `patches`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, size, size, channels // size**2)
    return x.swapaxes(2, 3).reshape(batch, height * size, width * size, channels // size**2)


class Networks:
    """Image encoder, mask decoder, pointer and memory encoder, each a few lines."""

    def __init__(self, config: Config, parameters: Parameters, ops: ModuleType) -> None:
        self.config, self.parameters, self.ops = config, parameters, ops
        self.patch = config.backbone_stride // FINE

    def _of(self, layer: str) -> tuple[Array, Array]:
        return self.parameters[f"{layer}.weight"], self.parameters[f"{layer}.bias"]

    def linear(self, x: Array, layer: str) -> Array:
        """The linear layer of that name."""
        return self.ops.linear(x, *self._of(layer))

    def conv(self, x: Array, layer: str) -> Array:
        """The 3×3 convolution of that name."""
        return self.ops.conv3x3(x, *self._of(layer))

    def encode_image(
        self, images: Float[Array, "B S S 3"]
    ) -> tuple[Float[Array, "B fh fw F"], Float[Array, "B h w C"]]:
        """What an image looks like: fine features for the outline, and a frame's tokens."""
        relu = self.ops.relu
        x = patches(2 * images - 1, self.patch)
        fine = relu(self.conv(x, "image_encoder.patch_embed"))
        fine = relu(fine + self.conv(fine, "image_encoder.fine.0"))
        fine = relu(fine + self.conv(fine, "image_encoder.fine.1"))
        x = relu(self.linear(patches(fine, FINE), "image_encoder.merge"))
        x = relu(x + self.conv(x, "image_encoder.coarse.0"))
        x = x + self.conv(x, "image_encoder.coarse.1")
        return fine, self.ops.layer_norm(x, *self._of("image_encoder.norm"))

    def decode_mask(
        self, tokens: Float[Array, "B h w C"], fine: Float[Array, "B fh fw F"]
    ) -> Float[Array, "B S S"]:
        """The object's mask as logits of pixels, from tokens that remember and features that are sharp."""
        relu = self.ops.relu
        x = unpatch(self.linear(tokens, "mask_decoder.up"), FINE)
        x = relu(x + self.linear(fine, "mask_decoder.skip"))
        x = relu(x + self.conv(x, "mask_decoder.refine.0"))
        x = relu(x + self.conv(x, "mask_decoder.refine.1"))
        return unpatch(self.linear(x, "mask_decoder.mask"), self.patch)[..., 0]

    def point(self, tokens: Float[Array, "B h w C"], mask: Float[Array, "B S S"]) -> Float[Array, "B C"]:
        """The object pointer: the mean token under the mask (0…1), passed through a small network."""
        hidden = self.ops.relu(self.linear(self.mean_token(tokens, mask), "obj_ptr_proj.0"))
        return self.linear(hidden, "obj_ptr_proj.1")

    def mean_token(self, tokens: Float[Array, "B h w c"], mask: Float[Array, "B S S"]) -> Float[Array, "B c"]:
        """The mean token under the mask (0…1); about zero where there is none."""
        cells = patches(mask[..., None], self.config.backbone_stride).mean(-1)[..., None]
        return (tokens * cells).sum((1, 2)) / (cells.sum((1, 2)) + 0.01)

    def encode_memory(
        self, features: Float[Array, "B h w C"], mask: Float[Array, "B S S"]
    ) -> Float[Array, "B m h w"]:
        """The memory of a frame: what it looks like, and which part of it is the object (mask 0…1)."""
        cells = patches(2 * mask[..., None] - 1, self.config.backbone_stride)
        x = self.linear(features, "memory_encoder.pix_feat_proj")
        x = x + self.linear(cells, "memory_encoder.mask_downsampler")
        x = x + self.conv(self.ops.relu(x), "memory_encoder.fuser")
        return self.linear(x, "memory_encoder.out_proj").swapaxes(2, 3).swapaxes(1, 2)


def network_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every parameter of these networks by name, with its shape."""
    fine = FINE_CHANNELS
    channels, memory = config.memory_attention.d_model, config.memory_attention.memory_dim
    stride = config.backbone_stride
    pixels = (stride // FINE) ** 2
    layers: dict[str, tuple[int, ...]] = {
        "image_encoder.patch_embed": (fine, 3 * pixels, 3, 3),
        "image_encoder.fine.0": (fine, fine, 3, 3),
        "image_encoder.fine.1": (fine, fine, 3, 3),
        "image_encoder.merge": (channels, FINE**2 * fine),
        "image_encoder.coarse.0": (channels, channels, 3, 3),
        "image_encoder.coarse.1": (channels, channels, 3, 3),
        "image_encoder.norm": (channels,),
        "mask_decoder.up": (FINE**2 * fine, channels),
        "mask_decoder.skip": (fine, fine),
        "mask_decoder.refine.0": (fine, fine, 3, 3),
        "mask_decoder.refine.1": (fine, fine, 3, 3),
        "mask_decoder.mask": (pixels, fine),
        "obj_ptr_proj.0": (channels, channels),
        "obj_ptr_proj.1": (channels, channels),
        "memory_encoder.pix_feat_proj": (channels, channels),
        "memory_encoder.mask_downsampler": (channels, stride**2),
        "memory_encoder.fuser": (channels, channels, 3, 3),
        "memory_encoder.out_proj": (memory, channels),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes
