"""The colours of all pictures: what the colour-blind can tell apart, and print in grey."""

HEAT = "viridis"
"""The colour map of attention: from dark to bright, evenly."""

MARK = "#d55e00"
"""A query, or the mask found (Okabe and Ito's vermilion)."""

TRUTH = "white"
"""The true mask, dotted."""

LINE = "#0072b2"
"""The line that a plot is about (Okabe and Ito's blue)."""
