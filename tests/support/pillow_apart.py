#!/usr/bin/env python3
"""What Pillow makes of files, in a process of its own: damage may crash libraries of its plug-ins.

On standard input files, each behind its size (4 bytes, little-endian); for each an Answer of
agreement.py on standard output, pickled, behind its size.
"""

import pickle
import struct
import sys


def main():
    from agreement import pillow_here

    read, write = sys.stdin.buffer, sys.stdout.buffer
    while size := read.read(4):
        answer = pickle.dumps(pillow_here(read.read(struct.unpack("<I", size)[0])))
        write.write(struct.pack("<I", len(answer)) + answer)
        write.flush()


if __name__ == "__main__":
    main()
