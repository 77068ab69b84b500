"""Side-by-side measurements, and their commands."""
