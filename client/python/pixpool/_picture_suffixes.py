"""The ends of the names of files that a folder of pictures is searched for.

Made by scripts/make_picture_suffixes.py from client/cli/picture_files.cc; do not edit.
"""

PICTURE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".avif",
    ".avifs",
    ".heic",
    ".heics",
    ".heif",
    ".heifs",
    ".hif",
)
