"""Hydra's interpolations, `${a.b.c}`, resolved within the document in which they stand."""

import re
from collections.abc import Mapping
from typing import Any

from .words import shown

MAX_STEPS = 100_000
MAX_DEPTH = 100
MAX_LENGTH = 10_000

Path = tuple[str | int, ...]

INNERMOST = re.compile(r"\$\{([^${}]*)\}")


class Interpolations:
    """The values of a document, each of which may point at others.

    `${a.b}` is the value at that path from the top, `${.b}` one beside the value in which it stands, `${..b}`
    one beside its parent; they may be nested. Alone it keeps its type, inside a string it is text. Source: the
    documentation of OmegaConf. Raises `ValueError`, naming the key, for what cannot be resolved in this
    document: environment variables and other resolvers, a missing key, a circle.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self._steps = self._depth = 0
        self._asked = ""

    def resolve(self, value: Any, path: Path) -> Any:
        """The value that stands at `path`, with every interpolation in it resolved."""
        value, path = self.follow(value, path)
        self._enter(path)
        if isinstance(value, Mapping):
            value = {key: self.resolve(inner, (*path, key)) for key, inner in value.items()}
        elif isinstance(value, list):
            value = [self.resolve(inner, (*path, index)) for index, inner in enumerate(value)]
        self._depth -= 1
        return value

    def follow(self, value: Any, path: Path) -> tuple[Any, Path]:
        """What the value that stands at `path` points at, unresolved within, and where that stands."""
        asked, depth = self._asked, self._depth
        while isinstance(value, str) and "${" in value:
            self._asked = self._asked or f"{dotted(path)} is {shown(value)}"
            self._enter(path)
            match = INNERMOST.search(value) if len(value) <= MAX_LENGTH else None
            if match is None:
                raise self._refusal("no interpolation that can be read, or too long")
            target, target_path = self._find(match, path)
            if match.group() == value:
                value, path = target, target_path
            else:
                value = self._with_text(value, match, self.resolve(target, target_path))
        self._asked, self._depth = asked, depth
        return value, path

    def _find(self, match: re.Match[str], path: Path) -> tuple[Any, Path]:
        value = self._document
        place: Path = ()
        for key in self._keys(match, path):
            value, place = self.follow(value, place)
            if isinstance(value, list) and str(key).isdecimal() and int(key) < len(value):
                key = int(key)
            elif not isinstance(value, Mapping) or key not in value:
                raise self._refusal(f"this file has no key {shown(dotted((*place, key)))}")
            value, place = value[key], (*place, key)
        return value, place

    def _keys(self, match: re.Match[str], path: Path) -> Path:
        reference = match[1].strip()
        if ":" in reference:
            raise self._refusal(f"{shown(match.group())} needs a resolver, expected a key of this file")
        names = reference.lstrip(".")
        dots = len(reference) - len(names)
        if dots > len(path):
            raise self._refusal(f"{shown(match.group())} lies above the top of this file")
        return (*(path[:-dots] if dots else ()), *re.sub(r"\[(\w+)\]", r".\1", names).split("."))

    def _with_text(self, value: str, match: re.Match[str], found: Any) -> str:
        if isinstance(found, Mapping | list):
            raise self._refusal(f"{shown(match.group())} is not one value, and cannot be part of a text")
        return value[: match.start()] + str(found) + value[match.end() :]

    def _enter(self, path: Path) -> None:
        self._steps += 1
        self._depth += 1
        if self._steps > MAX_STEPS or self._depth > MAX_DEPTH:
            self._asked = self._asked or dotted(path)
            raise self._refusal("its interpolations go in a circle, or further than is followed")

    def _refusal(self, problem: str) -> ValueError:
        return ValueError(f"{self._asked}: {problem}")


def dotted(path: Path) -> str:
    """A path as a file's reader writes it, `a.b.0.c`."""
    return ".".join(map(str, path))
