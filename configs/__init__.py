"""Model settings in SAM 2's own YAML format: the schema, the files and their loader."""

from .loader import available_configs, load_config
from .parameters import bank_parameter_shapes
from .schema import AttentionConfig, Config, LayerConfig, MemoryAttentionConfig, MemoryBankConfig

__all__ = [
    "AttentionConfig",
    "Config",
    "LayerConfig",
    "MemoryAttentionConfig",
    "MemoryBankConfig",
    "available_configs",
    "bank_parameter_shapes",
    "load_config",
]
