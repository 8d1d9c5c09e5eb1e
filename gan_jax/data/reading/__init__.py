"""Image files: listing, decoding, and replacing damaged ones.

`listing` decides which files of a folder count, `metadata` removes what decoders may fail on, `images` decodes and
resizes to one uint8 array, and `damage` replaces unreadable images. A new image format is one suffix in `listing`.
"""
