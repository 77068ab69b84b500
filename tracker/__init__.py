"""A small video tracker that has learned to use the memory attention, on either backend."""

from .data import Clip, make_clip
from .evaluation import Report, evaluate
from .initial import initial_weights
from .tracker import Step, Tracker
from .weights import WEIGHTS, read_tracker

__all__ = [
    "WEIGHTS",
    "Clip",
    "Report",
    "Step",
    "Tracker",
    "evaluate",
    "initial_weights",
    "make_clip",
    "read_tracker",
]
