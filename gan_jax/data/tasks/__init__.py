"""Tasks built from other data sets: image pairs for translation, few labels for semi-supervised learning.

A new task is one function here from a `Dataset` to a `Dataset`, its prefix in `data.names.parsed`, and one branch in
`data.catalog.load`. A new map from images to sources is a function in `image_maps`.
"""
