"""The activations, worked by hand."""

import numpy as np

from memory_attention.reference.feed_forward import gelu, glu, relu


def test_activations_by_hand():
    np.testing.assert_allclose(relu(np.array([-1.0, 2.0])), [0, 2])
    # Φ(1) = 0.841344746068543, from tables of the normal distribution.
    np.testing.assert_allclose(gelu(np.array([1.0, -1.0])), [0.841344746068543, -0.158655253931457], rtol=1e-12)
    # Gate 0 halves, gate ln 3 keeps three quarters.
    np.testing.assert_allclose(glu(np.array([2.0, 4.0, 0.0, np.log(3)])), [1, 3], rtol=1e-14)
