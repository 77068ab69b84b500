"""Image files, opened by several threads at once."""

import threading

import numpy as np
import pytest

from memory_attention.tracker.images import opened

Image = pytest.importorskip("PIL.Image")


def test_pillows_own_limit_is_there_again_whoever_reads(tmp_path, monkeypatch):
    """Two threads that open images at once: the second must not take the first one's none for Pillow's limit."""
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((3, 5), np.uint8)).save(path)
    limit, inside, go_on = Image.MAX_IMAGE_PIXELS, threading.Event(), threading.Event()
    really, waited = Image.open, []

    def slow(*given, **how):
        if not waited:
            waited.append(True)
            inside.set()
            go_on.wait(10)
        return really(*given, **how)

    def read():
        with opened(path):
            pass

    monkeypatch.setattr(Image, "open", slow)
    first, second = threading.Thread(target=read), threading.Thread(target=read)
    first.start()
    assert inside.wait(10)
    second.start()
    # Time for the second to go in where nothing holds it back.
    second.join(0.3)
    go_on.set()
    first.join(10)
    second.join(10)
    assert limit == Image.MAX_IMAGE_PIXELS
