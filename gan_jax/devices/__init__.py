"""How many devices share a batch, and how much memory they have: nothing else in the package knows."""
