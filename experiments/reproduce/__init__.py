"""Code that makes the recorded results, such as `python -m experiments.reproduce`."""
