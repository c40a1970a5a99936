"""Writes a zip of twelve small PNG photos, with nothing but the standard library."""

import struct
import sys
import zipfile
import zlib


def png(width: int, height: int, shade: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes((shade, 255 - shade, 128)) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")


with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_STORED) as archive:
    for number in range(1, 13):
        archive.writestr(f"photo_{number:03}.png", png(512, 512, number * 20))
