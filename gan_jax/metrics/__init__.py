"""Scores of generators, and the classifier that judges digits."""
