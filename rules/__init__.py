"""What both backends obey and is neither NumPy nor PyTorch: inputs, grids, and which frames a frame sees."""
