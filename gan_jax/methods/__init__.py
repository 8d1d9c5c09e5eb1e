"""Parts specific to one paper, one file each: an image pool, boosting weights, the ELBO and others.

Parts that only one system needs go here; parts that several papers share go to `losses`, `penalties`, `terms`, `rules`
or `networks`.
"""
