"""Removes the metadata of PNG and JPEG files: decoders may fail on damaged metadata."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # PNG chunks that hold the pixels
TAGS = b"eXIf"  # PNG chunk of EXIF tags, among them the orientation
START, SCAN = 0xD8, 0xDA  # JPEG markers
# JPEG markers of metadata; not the JFIF and Adobe segments, which define the coding of colours
DROPPED = (*range(0xE1, 0xEE), 0xEF, 0xFE)


def removed(content: bytes) -> bytes | None:
    """Returns a PNG or JPEG file without its metadata.

    Args:
        content: The file's bytes.

    Returns:
        The file's bytes with the same pixels; a PNG keeps its EXIF tags. None if the file has another format or a
        broken structure.
    """
    if content.startswith(SIGNATURE):
        return _png(content)
    return _jpeg(content) if content.startswith(bytes([0xFF, START])) else None


def _png(content: bytes) -> bytes | None:
    """Keeps a PNG's pixel and EXIF chunks: each is a length (4 bytes), kind (4), data, checksum of the last two (4)."""
    chunks, at = [SIGNATURE], len(SIGNATURE)
    while at < len(content):
        if at + 12 > len(content):
            return None
        (length,), kind = struct.unpack_from(">I", content, at), content[at + 4 : at + 8]
        after = at + 12 + length
        if after > len(content):
            return None
        if kind in CHUNKS:
            chunks.append(content[at:after])
        elif kind == TAGS:  # with a correct checksum: a wrong one would hide readable tags
            chunks.append(content[at : after - 4] + struct.pack(">I", zlib.crc32(content[at + 4 : after - 4])))
        at = after
        if kind == b"IEND":
            break
    return b"".join(chunks)


def _jpeg(content: bytes) -> bytes | None:
    """Drops a JPEG's metadata segments: each is 0xFF, a marker, a length (2 bytes, itself included), and data."""
    segments, at = [content[:2]], 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, after = content[at + 1], at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == SCAN:
            return b"".join([*segments, content[at:]])
        if marker not in DROPPED:
            segments.append(content[at:after])
        at = after
    return None
