"""Frames from a folder."""

from PIL import Image

from memory_attention.tracker.reading import read_video


def test_frames_are_taken_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"frame{number}.png")
    Image.new("L", (8, 8), 255).save(tmp_path / "given.gif")
    frames, masks, size = read_video(tmp_path, tmp_path / "given.gif", 8)
    assert (frames[:, 0, 0, 0] * 255).round().tolist() == [1, 2, 10]
    assert masks.all()
    assert size == (8, 8)
