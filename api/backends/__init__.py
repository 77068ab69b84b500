"""The backends: what one must offer, ours, and how one is found by its name."""

from .finding import available_backends, find_backend, register_backend
from .protocol import Backend, Network

__all__ = ["Backend", "Network", "available_backends", "find_backend", "register_backend"]
