"""A small video tracker that has learned to use the memory attention, on either backend."""

from .annotated import read_annotated
from .evaluation import Report, evaluate, evaluate_clip
from .learning.data import Clip, make_clip
from .learning.initial import initial_weights
from .loop import Step
from .session import Session, Tracked
from .tracker import Tracker
from .weights import WEIGHTS, read_tracker

__all__ = [
    "WEIGHTS",
    "Clip",
    "Report",
    "Session",
    "Step",
    "Tracked",
    "Tracker",
    "evaluate",
    "evaluate_clip",
    "initial_weights",
    "make_clip",
    "read_annotated",
    "read_tracker",
]
