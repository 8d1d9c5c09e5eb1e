"""How many devices and processes share a batch, and how much memory they have; no other room knows.

A new way to spread a step over devices is a function in `parallel` with the signature of `single`, and one case in
`parallel.spread`. How processes join and stop together is in `cluster`; memory limits and their errors are in `memory`.
"""
