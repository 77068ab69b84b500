"""What a memory bank cannot take gets an error that names it, and leaves no trace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from banks import Bank, make_config, memory_of, never, pointer_of


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"frame": -1}, ValueError, "frame is -1, expected 0 or more"),
        ({"frame": 1.0}, TypeError, "frame is 1.0, expected a whole number"),
        ({"frame": True}, TypeError, "frame is True, expected a whole number"),
        ({"frame": 0}, ValueError, "frame 0 is in the bank already"),
        ({"memory": None}, TypeError, "memory is NoneType, expected"),
        ({"memory": [[1.0]]}, TypeError, "memory is list, expected"),
        ({"memory": np.zeros((2, 4, 2))}, ValueError, r"memory has shape \(2, 4, 2\), expected rank 4"),
        ({"memory": np.zeros((2, 5, 2, 2))}, ValueError, "memory has 5 channels, expected 4"),
        ({"memory": np.zeros((2, 4, 2, 3))}, ValueError, r"expected that of the earlier frames, \(2, 4, 2, 2\)"),
        ({"memory": np.zeros((1, 4, 2, 2))}, ValueError, r"expected that of the earlier frames, \(2, 4, 2, 2\)"),
        ({"memory": np.zeros((0, 4, 2, 2))}, ValueError, "memory is empty"),
        ({"memory": np.zeros((2, 4, 2, 2), int)}, TypeError, "memory has dtype .*int64, expected a floating"),
        (
            {"memory": np.zeros((2, 4, 2, 2), "f2")},
            TypeError,
            "memory has dtype .*16, expected that of the earlier",
        ),
        ({"pointer": np.zeros((2, 1, 8))}, ValueError, "pointer has shape .* expected rank 2"),
        ({"pointer": np.zeros((2, 4))}, ValueError, "pointer has 4 channels, expected 8"),
        ({"pointer": np.zeros((1, 8))}, ValueError, "pointer has batch 1, expected the batch of memory, 2"),
        ({"absent": np.zeros(2)}, TypeError, "absent has dtype .*float64, expected bool"),
        ({"absent": np.zeros(3, bool)}, ValueError, "absent has batch 3, expected the batch of memory, 2"),
        ({"absent": np.zeros((2, 1), bool)}, ValueError, r"absent has shape \(2, 1\), expected rank 1"),
        ({"absent": [True, False]}, TypeError, "absent is list"),
    ],
)
def test_outputs_that_do_not_fit(
    make_bank: Callable[..., Bank], arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0, batch=2), conditioning=True)
    given_arguments = {"frame": 1, "memory": memory_of(0, batch=2), "pointer": pointer_of(0, batch=2)} | arguments
    with pytest.raises(kind, match=message):
        bank.add(**given_arguments)
    # What was refused has left no trace.
    assert list(bank.bank.memories) == [0]
    assert not bank.bank.pointers


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("frame", "num_frames", "kind", "message"),
    [
        (-1, 10, ValueError, "frame is -1, expected 0 or more"),
        (10, 10, ValueError, "frame is 10, expected one below num_frames, 10"),
        (0, 0, ValueError, "num_frames is 0, expected 1 or more"),
        (0, 2.5, TypeError, "num_frames is 2.5, expected a whole number"),
        ("0", 10, TypeError, "frame is '0', expected a whole number"),
    ],
)
def test_frames_that_are_none(
    make_bank: Callable[..., Bank], frame: Any, num_frames: Any, kind: type[Exception], message: str
) -> None:
    bank = make_bank(make_config())
    bank.add(0, memory_of(0), conditioning=True)
    with pytest.raises(kind, match=message):
        bank.bank.tokens(frame, num_frames)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("features", "kind", "message"),
    [
        (np.zeros((4, 8)), ValueError, r"features has shape \(4, 8\), expected rank 3"),
        (np.zeros((4, 1, 7)), ValueError, "features has 7 channels, expected 8"),
        (np.zeros((4, 1, 8), int), TypeError, "features has dtype"),
        ([1.0], TypeError, "features is list"),
    ],
)
def test_features_that_do_not_fit(
    make_bank: Callable[..., Bank], features: Any, kind: type[Exception], message: str
) -> None:
    bank = make_bank(make_config())
    with pytest.raises(kind, match=message):
        bank.bank.first_frame(bank.own(features))
    with pytest.raises(kind, match=message):
        bank.bank.attend(never, bank.own(features), None, 1, 10)
