"""Data parallelism, multi-process runs and memory limits; no other package knows how many devices share a batch.

A new way to spread a step over devices is a function in `parallel` with the signature of `single`, and one case in
`parallel.spread`. `batched` evaluates any number of rows in batches of one size. How processes join and stop together
is in `cluster`; memory limits and their errors are in `memory`; `compilation` lets signals be handled while JAX
compiles.
"""
