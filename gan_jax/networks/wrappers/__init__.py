"""Wrappers: a Linen module as a `Network` (`linen`), and a `Network` as another one.

A new wrapper is one file here with a function from `Network` to `Network`, such as `mixed` (precision),
`rematerialised` (memory), `packed` (several examples a logit) or `with_reference` (virtual batch norm), and one line in
`networks`.
"""
