"""How the tracker learns: clips composed from photographs, the weights before, and the training."""
