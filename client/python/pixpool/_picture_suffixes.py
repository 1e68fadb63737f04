"""The ends of the names of files that a folder of pictures is searched for."""

# Of the formats that the server decodes; the pixpool command has the same list.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp")
