"""A user's frames and masks: read as people have them, and written so."""
