"""The memory attention as an ONNX graph: written operator by operator, run by onnxruntime, a backend as well."""

from ...rules.packages import require

for package in ("onnx", "onnxruntime"):
    require(package, "the memory attention in ONNX")
