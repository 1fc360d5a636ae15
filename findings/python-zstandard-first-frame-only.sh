#!/usr/bin/env bash
# python-zstandard's one-call `decompress()` gives the first of several zstd frames, and says nothing of the rest.
#
# By RFC 8878 frames may stand one behind the other, and decompressing them gives their contents one behind the other: the zstd tool, Go's
# klauspost/compress and Rust's zstd crate do so. One would guess that a function which takes a whole body either does the same or raises an
# error about what it did not read. It returns the first frame's content as a success, though the same library's stream reader gives all of it. Asked
# for all frames (`read_across_frames=True`), `decompress()` raises an error: that is not implemented there.
#
# For Bywash: request bodies of several zstd frames would be cut short by such receivers, so they are never made by putting frames behind each other.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check zstandard==0.25.0
cat > "$dir/ask.py" <<'PY'
import io, sys
import zstandard

first, second = (zstandard.ZstdCompressor().compress(text) for text in (b"one, ", b"two"))
body = first + second
whole = zstandard.ZstdDecompressor().decompress(body)
stream = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read()
try:
    asked = zstandard.ZstdDecompressor().decompress(body, read_across_frames=True)
except Exception as error:
    asked = f"{type(error).__name__}: {error}"
print(f"decompress: {whole}; stream_reader: {stream}; decompress for all frames: {asked}")
sys.exit(0 if whole == b"one, " and stream == b"one, two" and isinstance(asked, str) else 1)
PY
echo "zstandard 0.25.0 on $("$dir/venv/bin/python" --version)"
"$dir/venv/bin/python" "$dir/ask.py"
