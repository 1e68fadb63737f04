"""GIF pictures for make_images.py."""

import struct

import numpy as np
from PIL import Image

from image_bytes import patched, picture, save
from reasons import LIMIT, UNDECODABLE

TEAL = (10, 120, 130)


def blocks(data):
    parts = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def codes(values, bits):
    """LZW codes of one size, so short that the size does not grow."""
    whole = sum(value << (bits * i) for i, value in enumerate(values))
    return whole.to_bytes((bits * len(values) + 7) // 8, "little")


def gif(width, height, frame, palette=b"", extensions=b""):
    flags = 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0
    screen = struct.pack("<HHBBB", width, height, flags, 0, 0)
    return b"GIF89a" + screen + palette + extensions + frame + b";"


def frame_of(x, y, width, height, data, first_bits=2, flags=0, palette=b""):
    head = b"," + struct.pack("<HHHHB", x, y, width, height, flags)
    return head + palette + bytes([first_bits]) + blocks(data)


def gifs(out):
    photo = Image.fromarray(picture(67, 45))
    for interlaced in (0, 1):
        tail = "_interlaced.gif" if interlaced else ".gif"
        for colors in (2, 5, 16, 100, 256):
            out.ok(
                f"gif_palette{colors}{tail}",
                save(photo.quantize(colors), "GIF", interlace=interlaced),
            )
        out.ok(f"gif_grey{tail}", save(photo.convert("L"), "GIF", interlace=interlaced))
        out.ok(f"gif_bilevel{tail}", save(photo.convert("1"), "GIF", interlace=interlaced))
        for height in (1, 2, 3, 4, 5, 6, 9):
            strip = Image.fromarray(picture(20, height)).quantize(7)
            out.ok(f"gif_20x{height}{tail}", save(strip, "GIF", interlace=interlaced))
    # A full table of codes, and the clearing of it.
    noise = np.random.default_rng(2).integers(0, 256, (150, 170), np.uint8)
    out.ok("gif_noise.gif", save(Image.fromarray(noise), "GIF"))
    out.ok("gif_one_colour.gif", save(Image.new("L", (300, 200), 7), "GIF"))
    clear = save(photo.quantize(9), "GIF", transparency=3)
    out.ok("gif_transparent.gif", clear)
    out.ok("gif_transparent_background.gif", clear, background=TEAL)
    out.ok("gif_opaque_background.gif", save(photo.quantize(9), "GIF"), background=TEAL)
    frames = [Image.fromarray(picture(40, 30, seed=n)[:: 1 - 2 * (n % 2)]) for n in range(3)]
    animated = save(
        frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0, comment=b"frames"
    )
    out.ok("gif_animated.gif", animated)
    out.ok("gif_trailing.gif", clear + b"PK\3\4" + bytes(9000))

    colors = bytes([9, 8, 7, 200, 100, 50, 1, 250, 30, 90, 90, 255])
    four = codes([4, 1, 2, 4, 3, 0, 5], 3)  # four indices, before the code size grows
    square = frame_of(3, 1, 2, 2, four)
    out.ok("gif_part.gif", gif(7, 5, square, colors))
    control = b"!\xf9\x04\x01\0\0\x02\0"
    out.ok("gif_part_transparent.gif", gif(7, 5, square, colors, control))
    out.ok(
        "gif_part_transparent_background.gif", gif(7, 5, square, colors, control), background=TEAL
    )
    out.ok("gif_beyond_the_screen.gif", gif(2, 2, square, colors))
    local = frame_of(0, 0, 2, 2, four, flags=0x81, palette=colors[::-1])
    out.ok("gif_local_palette.gif", gif(2, 2, local, colors))
    out.ok("gif_no_palette.gif", gif(2, 2, frame_of(0, 0, 2, 2, four)))
    out.ok("gif_beyond_the_palette.gif", gif(2, 2, frame_of(0, 0, 2, 2, four), colors[:6]))
    junk = b"\1\2!\xfe\x02hi\0!\xff\x0bNETSCAPE2.0\x03\1\0\0\0!\x01\x02ab\0"
    out.ok("gif_extensions.gif", gif(2, 2, frame_of(0, 0, 2, 2, four), colors, junk))

    out.bad("gif_ends_early.gif", gif(2, 3, frame_of(0, 0, 2, 3, four), colors), UNDECODABLE)
    out.bad("gif_no_frame.gif", gif(2, 2, b"", colors), UNDECODABLE)
    out.bad("gif_empty_frame.gif", gif(2, 2, frame_of(0, 0, 0, 2, four), colors), UNDECODABLE)
    wrong = codes([4, 1, 7], 3)
    out.bad("gif_wrong_code.gif", gif(2, 2, frame_of(0, 0, 2, 2, wrong), colors), UNDECODABLE)
    long = frame_of(0, 0, 2, 2, four, first_bits=13)
    out.bad("gif_long_codes.gif", gif(2, 2, long, colors), UNDECODABLE)
    out.bad("gif_control_cut.gif", gif(2, 2, square, colors, b"!\xf9\x02\x01\0\0"), UNDECODABLE)
    out.bad("gif_claims_60000.gif", patched(patched(clear, 7, 0xEA), 9, 0xEA), LIMIT)
