"""Removes the metadata of PNG and JPEG files, as decoders may fail on a text or a tag that they cannot read."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # of a PNG: its pixels
TAGS = b"eXIf"  # of a PNG: its orientation, among others
START, SCAN = 0xD8, 0xDA  # markers of a JPEG
# markers of a JPEG's metadata; not the segments of JFIF and Adobe, which say how colours are coded
DROPPED = (*range(0xE1, 0xEE), 0xEF, 0xFE)


def removed(content: bytes) -> bytes | None:
    """Returns a PNG or JPEG file without its metadata.

    Args:
        content: The file's bytes.

    Returns:
        The same pixels; a PNG keeps its orientation. None if the file is of another format, or its structure is broken.
    """
    if content.startswith(SIGNATURE):
        return _png(content)
    return _jpeg(content) if content.startswith(bytes([0xFF, START])) else None


def _png(content: bytes) -> bytes | None:
    """Keeps a PNG's chunks of pixels: each is a length (4 bytes), a kind (4), data, and a checksum of both (4)."""
    kept, at = [SIGNATURE], len(SIGNATURE)
    while at < len(content):
        if at + 12 > len(content):
            return None
        (length,), kind = struct.unpack_from(">I", content, at), content[at + 4 : at + 8]
        after = at + 12 + length
        if after > len(content):
            return None
        if kind in CHUNKS:
            kept.append(content[at:after])
        elif kind == TAGS:  # with a right checksum, as a wrong one would hide tags that can be read
            kept.append(content[at : after - 4] + struct.pack(">I", zlib.crc32(content[at + 4 : after - 4])))
        at = after
        if kind == b"IEND":
            break
    return b"".join(kept)


def _jpeg(content: bytes) -> bytes | None:
    """Drops a JPEG's segments of metadata: each is 0xFF, a marker, the length (2 bytes) of the rest, and data."""
    kept, at = [content[:2]], 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, after = content[at + 1], at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == SCAN:
            return b"".join([*kept, content[at:]])
        if marker not in DROPPED:
            kept.append(content[at:after])
        at = after
    return None
