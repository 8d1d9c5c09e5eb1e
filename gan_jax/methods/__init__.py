"""Parts that one paper alone needs, one file each: an image pool, boosting weights, the ELBO and others.

What a new system needs beyond its networks and players goes here; what several papers share goes to `losses`,
`penalties`, `terms`, `rules` or `networks`.
"""
