"""Scores of generators, one file a score.

A new metric is one file here and one line in `menu`; its features come from `features`. See README.md in this folder.
"""
