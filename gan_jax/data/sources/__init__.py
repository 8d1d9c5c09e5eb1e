"""Where examples come from, one file a source.

A new source is one file here with `load(name or path, split, ...) -> Dataset`, built by `data.dataset.dataset`, and one
branch in `data.catalog.load`; if it can be read from disk during training, also `stream(...) -> Stream`. `digits` are
those of the package, `folder` reads image files, `tfds` TensorFlow Datasets; `toys` makes points in the plane and
`stacked` stacked digits. `prepare_tfds`, `convert_tfds` and `make_digits` write files that these read.
"""
