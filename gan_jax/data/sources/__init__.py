"""Sources of data sets, one file each.

A new source is one file here with `load(name or path, split, ...) -> Dataset`, built by `data.dataset.dataset`, and one
branch in `data.catalog.load`; if it can be read from disk during training, also `stream(...) -> Stream`, which
`data.streaming.whole` reads into memory. `digits` reads the images of the package, `folder` image files, `tfds`
TensorFlow Datasets, `hugging_face` Hugging Face sets, `tar` tar files; `arrays` takes arrays, and `functions` calls a
user's function; `toys` makes points in the plane and `stacked` stacked digits. `prepare_tfds`, `convert_tfds` and
`make_digits` write files that these read.
"""
