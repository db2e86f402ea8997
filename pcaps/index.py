"""Fills in `packets` and `sha256` of every row of INDEX.toml. A capture without a row, or a row without one, is an error."""

import hashlib
import os
import re
import struct

here = os.path.dirname(os.path.abspath(__file__))
path = os.path.join(here, "INDEX.toml")


def packets(data):
    at, count = 24, 0
    while at < len(data):
        at, count = at + 16 + struct.unpack_from("<I", data, at + 8)[0], count + 1
    return count


def main():
    head, *rows = re.split(r"(?m)^(?=\[\[capture\]\])", open(path).read())
    files, text = sorted(os.listdir(os.path.join(here, "captures"))), head
    for row in rows:
        name = re.search(r'(?m)^file = "(.*)"$', row)[1]
        files.remove(name)
        data = open(os.path.join(here, "captures", name), "rb").read()
        row = re.sub(r"(?m)^packets = .*$", f"packets = {packets(data)}", row)
        text += re.sub(r"(?m)^sha256 = .*$", f'sha256 = "{hashlib.sha256(data).hexdigest()}"', row)
    if files:
        raise SystemExit(f"no row in INDEX.toml: {', '.join(files)}")
    open(path, "w").write(text)


if __name__ == "__main__":
    main()
