"""Reads every file of a folder as gzip, by gzip and by zlib, and writes what was in it beside it."""

import gzip
import pathlib
import sys
import zlib

for path in sorted(pathlib.Path(sys.argv[1]).glob("*.gz")):
    body = path.read_bytes()
    plain = gzip.decompress(body)
    # One member, and nothing behind it.
    decoder = zlib.decompressobj(wbits=31)
    assert decoder.decompress(body) == plain and decoder.eof and not decoder.unused_data, path
    path.with_suffix(".out").write_bytes(plain)
