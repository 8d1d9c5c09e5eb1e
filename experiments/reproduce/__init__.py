"""Records of runs made, by `python -m experiments.reproduce`."""
