"""Reads a YAML file within stated limits, each of which is checked before memory is taken."""

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .words import shown

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
MAX_DEPTH = 64
MAX_DIGITS = 30

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainLoader(_Loader):  # type: ignore[misc, unused-ignore]
    """YAML without code. A scalar that is no number, or a date, stays text: who reads it names its key."""


def _or_text(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def constructed(loader: Any, node: Any) -> Any:
        text = loader.construct_scalar(node)
        try:
            return construct(loader, node) if len(text) <= MAX_DIGITS else text
        except (ValueError, KeyError, IndexError):
            return text

    return constructed


for _tag in ("bool", "int", "float"):
    _name = f"tag:yaml.org,2002:{_tag}"
    _PlainLoader.add_constructor(_name, _or_text(yaml.SafeLoader.yaml_constructors[_name]))
_PlainLoader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_scalar)


def read_yaml(path: Path) -> Any:
    """The one document of a YAML file, dates as text.

    Raises `ValueError` for what is no regular file, not UTF-8, not YAML, or beyond a limit: `MAX_BYTES`,
    `MAX_VALUES` (aliases counted as what they stand for), `MAX_DEPTH`; and for a key that is there twice.
    """
    text = _read_text(path)
    try:
        _check(text)
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"not a YAML file{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not a YAML file: {' '.join(str(error).split())}") from None


def _read_text(path: Path) -> str:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise ValueError(f"is {kind}, expected a YAML file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES:,} bytes, the most that a config may have")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not a YAML file: byte {error.start} is not UTF-8 text") from None


@dataclass
class _Open:
    """A list or, with `keys`, a mapping whose end has not been read yet."""

    anchor: str | None
    keys: set[str] | None
    size: int = 1
    awaits_key: bool = True


@dataclass
class _Counter:
    """Follows the events of a document: what would be built from it is counted, and nothing is built."""

    documents: int = 0
    open: list[_Open] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def see(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise _refusal("a second document starts, expected one", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self.open.pop()
            self._add(closed.size, closed.anchor, event)
        elif isinstance(event, yaml.NodeEvent):
            self._check_key(event)
            if isinstance(event, yaml.CollectionStartEvent):
                self._start(event)
            elif isinstance(event, yaml.AliasEvent):
                self._add(self._size_of(event), None, event)
            else:
                self._add(1, event.anchor, event)

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        if len(self.open) == MAX_DEPTH:
            raise _refusal(f"is more than {MAX_DEPTH} levels deep", event)
        self.open.append(_Open(event.anchor, set() if isinstance(event, yaml.MappingStartEvent) else None))

    def _add(self, size: int, anchor: str | None, event: yaml.Event) -> None:
        if anchor:
            self.sizes[anchor] = size
        if self.open:
            self.open[-1].size += size
            if self.open[-1].size > MAX_VALUES:
                raise _refusal(f"holds more than {MAX_VALUES:,} values, aliases written out", event)

    def _size_of(self, alias: yaml.AliasEvent) -> int:
        if alias.anchor not in self.sizes:
            raise _refusal(f"the alias *{alias.anchor} stands for itself or for nothing", alias)
        return self.sizes[alias.anchor]

    def _check_key(self, event: yaml.NodeEvent) -> None:
        mapping = self.open[-1] if self.open else None
        if mapping is None or mapping.keys is None:
            return
        if mapping.awaits_key:
            if not isinstance(event, yaml.ScalarEvent):
                raise _refusal("a key is a list, a mapping or an alias, expected text", event)
            if event.value in mapping.keys:
                raise _refusal(f"the key {shown(event.value)} is there twice", event)
            mapping.keys.add(event.value)
        mapping.awaits_key = not mapping.awaits_key


def _check(text: str) -> None:
    counter = _Counter()
    for event in yaml.parse(text, Loader=_PlainLoader):
        counter.see(event)


def _refusal(problem: str, event: yaml.Event) -> ValueError:
    line = f", line {event.start_mark.line + 1}" if event.start_mark else ""
    return ValueError(f"not a YAML file for a config{line}: {problem}")
