"""Wrappers: from a Linen module to a `Network` (`linen`), and from a `Network` to another.

A new wrapper is one file here with a function from `Network` to `Network`, such as `mixed` (precision),
`rematerialised` (memory), `packed` (several examples per logit) or `with_reference` (virtual batch norm), and one line
in `networks`. `projected` puts frozen features before a discriminator. `unfit` explains shape errors, and `stock`
recognises Flax's layers that have a replacement here.
"""
