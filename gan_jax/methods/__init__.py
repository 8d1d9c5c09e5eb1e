"""Parts specific to a paper, one file each: an image pool, boosting weights, the ELBO, mirrored images and others.

What is a loss, penalty, term, rule or network belongs in the package of that name instead.
"""
