"""How files that are pictures begin, and folders that hold what programs keep there.

Made by scripts/make_picture_suffixes.py from client/cli/picture_files.cc; do not edit.
"""

# "?" stands for any byte.
PICTURE_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF????WEBP",
    b"GIF8",
    b"BM????\x00\x00\x00\x00",
    b"II*\x00",
    b"MM\x00*",
    b"????ftypavi",
    b"????ftyphei",
    b"????ftyphev",
    b"????ftypmif1",
    b"????ftypmsf1",
)
JUNK_FOLDERS = (
    "@eaDir",
    "@Recently-Snapshot",
    "@Recycle",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "__MACOSX",
    ".thumbnails",
    "lost+found",
    "System Volume Information",
)
