"""One frame of SAM 2.1 at full size in both backends: peak memory, and time as a ratio.

    python benchmarks/full_size.py

Each run is a process of its own, the two backends in turn; writes benchmarks/full_size.json.
"""

import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

RESULT = Path(__file__).with_suffix(".json")
TURNS = 3

ONE_RUN = """
import json, resource, sys, time
import memory_attention as ma
from memory_attention.inputs import draw_inputs
config = ma.load_config("sam2.1_hiera_t")
inputs = draw_inputs(config)
model = ma.load(config, sys.argv[1], device="cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
model(*inputs)
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_mb": peak / 1024, "before_mb": before / 1024}))
"""


def main() -> None:
    runs: dict[str, list[dict[str, float]]] = {"reference": [], "accelerated": []}
    for turn in range(TURNS):
        for backend, rows in runs.items():
            done = subprocess.run(
                [sys.executable, "-c", ONE_RUN, backend], capture_output=True, text=True, check=True
            )
            rows.append(json.loads(done.stdout))
            print(f"turn {turn + 1}, {backend}: {rows[-1]}", file=sys.stderr)
    ratios = [slow["seconds"] / fast["seconds"] for slow, fast in zip(*runs.values(), strict=True)]
    result = {
        "command": "python benchmarks/full_size.py",
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "size": "sam2.1_hiera_t: N = 4096, M = 28736, 4 layers, float32, 1 object",
        "reference_over_accelerated": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        },
        "peak_mb": {backend: max(row["peak_mb"] for row in rows) for backend, rows in runs.items()},
        "runs": runs,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("reference_over_accelerated", "peak_mb")}, indent=2))


if __name__ == "__main__":
    main()
