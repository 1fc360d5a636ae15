"""Writes gzip files as zlib can make them: every strategy, level and memory, with flushes of every kind, and what is in them."""

import pathlib
import random
import sys
import zlib

folder = pathlib.Path(sys.argv[1])
sample = pathlib.Path(sys.argv[2]).read_bytes()
random.seed(7)
FLUSHES = [zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK]
STRATEGIES = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED]
for number in range(150):
    encoder = zlib.compressobj(
        level=random.choice([0, 1, 3, 6, 9]),
        wbits=16 + random.randint(9, 15),
        memLevel=random.randint(1, 9),
        strategy=STRATEGIES[number % len(STRATEGIES)],
    )
    plain, body = b"", b""
    for _ in range(random.randint(0, 4)):
        at = random.randrange(len(sample))
        piece = random.choice(
            [sample[at : at + random.randint(0, 20000)], random.randbytes(random.randint(0, 3000)), b"=" * random.randint(0, 5000)]
        )
        plain += piece
        body += encoder.compress(piece)
        body += encoder.flush(random.choice(FLUSHES))
    body += encoder.flush()
    (folder / f"{number:03}.gz").write_bytes(body)
    (folder / f"{number:03}.plain").write_bytes(plain)
