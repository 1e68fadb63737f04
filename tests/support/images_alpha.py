"""Pictures with alpha for make_images.py, of every format that has it: with hidden colours that
matter, and others.
"""

import struct

import numpy as np
from PIL import Image

from image_bytes import RGBA, picture, png, png_with_exif, save, tiff
from images_bmp import bmp

SIZE = (48, 40)
# "hidden" in a name: these colours come to be seen where alpha is dropped.
KINDS = ("hidden", "white_under", "opaque", "specks", "half_seen")


def rgba(kind):
    """Straight-alpha pixels, of which a third is transparent but for the last kinds."""
    pixels = np.dstack([picture(*SIZE) // 2, np.full(SIZE[::-1], 255, np.uint8)])
    clear = np.zeros(SIZE[::-1], bool)
    clear[:, : SIZE[0] // 3] = True
    if kind == "opaque":
        clear[:] = False
    if kind == "specks":  # less than one pixel in a hundred
        clear[:] = False
        clear[0, 5] = clear[8, 7] = True
    pixels[clear, 3] = 128 if kind == "half_seen" else 0
    if kind == "white_under":
        pixels[clear, :3] = (230, 255, 240)
    return pixels


def alphas(out):
    for kind in KINDS:
        pixels = rgba(kind)
        image = Image.fromarray(pixels)
        whole = save(image, "PNG")
        out.ok(f"png_cutout_{kind}.png", whole)
        out.ok(f"png_cutout_{kind}_grey.png", save(image.convert("LA"), "PNG"))
        out.ok(f"png_cutout_{kind}_turned.png", png_with_exif(whole, SIZE, tiff(6)))
        for name, options in (("lossless", {"lossless": True}), ("lossy", {"quality": 95})):
            out.ok(f"webp_cutout_{kind}_{name}.webp", save(image, "WEBP", exact=True, **options))
        for name in ("raw", "tiff_lzw"):
            out.ok(f"tiff_cutout_{kind}_{name}.tif", save(image, "TIFF", compression=name))
        masks = struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
        data = pixels[::-1].tobytes()
        out.ok(f"bmp_cutout_{kind}.bmp", bmp(*SIZE, 32, data, 3, header_size=124, masks=masks))

    # One colour is transparent, and one entry of a palette.
    flat = Image.fromarray(picture(*SIZE) // 2).quantize(4)
    rgb = flat.convert("RGB")
    seen = np.asarray(rgb)[0, 0]
    key = tuple(int(level) for level in seen)
    out.ok("png_cutout_hidden_key.png", save(rgb, "PNG", transparency=key))
    out.ok("png_cutout_other_key.png", save(rgb, "PNG", transparency=(255, 255, 255)))
    index = int(np.asarray(flat)[0, 0])
    out.ok("png_cutout_hidden_palette.png", save(flat, "PNG", transparency=index))
    out.ok("png_cutout_unused_palette.png", save(flat, "PNG", transparency=9))
    out.ok("gif_cutout_hidden.gif", save(flat, "GIF", transparency=index))
    out.ok("gif_cutout_opaque.gif", save(flat, "GIF"))
    light = flat.copy()
    palette = light.getpalette()
    palette[3 * index : 3 * index + 3] = (255, 250, 240)
    light.putpalette(palette)
    out.ok("gif_cutout_white_under.gif", save(light, "GIF", transparency=index))
    out.ok("png_cutout_white_under_palette.png", save(light, "PNG", transparency=index))
    noise = np.random.default_rng(41).integers(0, 128, (*SIZE[::-1], 4), np.uint8)
    for interlace in (False, True):
        tail = "_interlaced" if interlace else ""
        out.ok(f"png_cutout_hidden_noise{tail}.png", png(noise, 8, RGBA, interlace))
