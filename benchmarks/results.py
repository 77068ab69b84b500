"""What a benchmark leaves: one JSON file, from which an interrupted run goes on."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .cases import Setting
from .machine import machine


def result(setting: Setting, done: list[dict[str, Any]]) -> dict[str, Any]:
    """What is written to the file."""
    return {"machine": machine(setting.device), "setting": asdict(setting), "cases": done}


def read_result(path: Path, setting: Setting) -> list[dict[str, Any]]:
    """The cases of an earlier run with the same setting on the same machine, to go on from; else none."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    same = found.get("setting") == asdict(setting) and found.get("machine") == machine(setting.device)
    return found["cases"] if same else []
