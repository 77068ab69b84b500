"""Image files, opened by several threads at once."""

import threading

import numpy as np
import pytest

from memory_attention.tracker.media.images import opened

Image = pytest.importorskip("PIL.Image")


def test_pillows_own_limit_is_there_again_whoever_reads(tmp_path, monkeypatch):
    """Two threads that open images at once: the second must not take the first one's none for Pillow's limit."""
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((3, 5), np.uint8)).save(path)
    limit, really = Image.MAX_IMAGE_PIXELS, Image.open
    inside, leave = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    numbers = iter(range(2))

    def slow(*given, **how):
        number = next(numbers)
        inside[number].set()
        leave[number].wait(10)
        return really(*given, **how)

    def read():
        with opened(path):
            pass

    monkeypatch.setattr(Image, "open", slow)
    threads = [threading.Thread(target=read) for _ in range(2)]
    threads[0].start()
    assert inside[0].wait(10)
    threads[1].start()
    # Time for the second to go in where nothing holds it back; then the first goes before it.
    inside[1].wait(0.3)
    for thread, event in zip(threads, leave, strict=True):
        event.set()
        thread.join(10)
    assert limit == Image.MAX_IMAGE_PIXELS
