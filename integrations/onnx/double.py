"""What float64 needs: onnxruntime lacks its error function, and the epsilon of a norm is a float32."""

import numpy as np

from .graph import Graph

NODES = 48
"""So many reach the last place of float64 up to the largest argument."""

LARGEST = 6.0
"""Beyond it erf is 1 in float64."""


def erf_in_float64(graph: Graph, x: str) -> str:
    """erf(x) = 2x/√π ∫₀¹ exp(−x²t²) dt, the integral by Gauss and Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    limits = (graph.number(sign * LARGEST) for sign in (-1, 1))
    x = graph.add("Clip", x, *limits)
    squares = graph.add("Unsqueeze", graph.add("Mul", x, x), graph.whole(-1))
    exponents = graph.add("Mul", squares, graph.constant(-(((nodes + 1) / 2) ** 2)))
    integral = graph.add("MatMul", graph.add("Exp", exponents), graph.constant(weights / np.sqrt(np.pi)))
    return graph.add("Mul", x, integral)


def layer_norm_in_float64(graph: Graph, x: str, weight: str, bias: str, eps: float) -> str:
    """(x − mean(x)) / √(var(x) + eps) · weight + bias over the last axis."""
    last = graph.whole(-1)
    centred = graph.add("Sub", x, graph.add("ReduceMean", x, last))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), last)
    spread = graph.add("Sqrt", graph.add("Add", variance, graph.number(eps)))
    return graph.add("Add", graph.add("Mul", graph.add("Div", centred, spread), weight), bias)
