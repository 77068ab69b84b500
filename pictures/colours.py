"""The colours of all pictures: what the colour-blind can tell apart, and print in grey."""

HEAT = "viridis"
"""The colour map of attention: from dark to bright, evenly."""

MARK = "#d55e00"
"""A query, or the mask found (Okabe and Ito's vermilion)."""

TRUTH = "white"
"""The true mask, dotted."""

LINE = "#0072b2"
"""The line that a plot is about (Okabe and Ito's blue)."""

OBJECTS = (MARK, "#56b4e9", "#f0e442", "#009e73", "#cc79a7", "#e69f00", "#0072b2", "#999999")
"""The objects of a video, in order (Okabe and Ito's, the vermilion first); they repeat where there are more."""


def object_colour(index: int) -> str:
    """The colour of the object of that index."""
    return OBJECTS[index % len(OBJECTS)]


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 … 255, of a colour written as #rrggbb."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
