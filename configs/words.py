"""How an error shows what came: short, whatever came."""

import difflib
import itertools
import reprlib
from collections.abc import Iterable
from typing import Any

MAX_MESSAGE = 300
MOST_WORDS = 4000

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel = 2


def shown(value: Any) -> str:
    """`repr(value)`, the middle left out where it is long."""
    return _SHORT.repr(value)


def shortened(message: str) -> str:
    """The message, its end left out where it is long."""
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """A question in brackets that names the nearest of the `known` words, or nothing."""
    near = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.8)
    return f" (did you mean {near[0]!r}?)" if near else ""


def misspelt(words: Iterable[str], known: Iterable[str]) -> str | None:
    """One of `words` that looks like one of the `known`, if there is one. Quick for many words."""
    words = list(itertools.islice(words, MOST_WORDS))
    near = (difflib.get_close_matches(name, words, n=1, cutoff=0.8) for name in known)
    return next((found[0] for found in near if found), None)
