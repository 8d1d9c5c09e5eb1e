"""Image files: listing, decoding, and replacing damaged ones.

`listing` lists the image files of a folder, `metadata` removes metadata that decoders may fail on, `images` decodes and
resizes into one uint8 array, and `damage` replaces unreadable images. A new image format is one suffix in `listing`.
"""
