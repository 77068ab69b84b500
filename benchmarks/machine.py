"""The description of a machine that stands beside every figure."""

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np


def machine(device: str) -> dict[str, Any]:
    """The description that stands beside every figure."""
    import torch

    described = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }
    for package in ("transformers", "sam2", "onnxruntime"):
        with contextlib.suppress(PackageNotFoundError):
            described[package] = version(package)
    if device.startswith("cuda"):
        described |= {"device": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        driver = Path("/proc/driver/nvidia/version")
        if driver.is_file():
            described["driver"] = driver.read_text().splitlines()[0]
    return described


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
