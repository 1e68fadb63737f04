"""The ends of the names of files that a folder of pictures is searched for.

Made by scripts/make_picture_suffixes.py from client/cli/paths.cc; do not edit.
"""

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
