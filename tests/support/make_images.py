#!/usr/bin/env python3
"""Writes the pictures of the image tests, with what Pillow makes of each.

usage: make_images.py OUT_DIR

OUT_DIR gets the pictures, the expected pixels as raw RGB files, and index.tsv with one picture a
line: name, file, reason ("-" if it decodes, else the error's reason), expected file, width, height,
background ("-" or "r,g,b"), whether EXIF is applied (1 or 0), what is damaged ("-" or the names of
kinds, with commas). The name begins with the format's; "sample_<format>" is one picture of it, for
tests of every format.
"""

import dataclasses
import io
import pathlib
import struct
import sys
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from image_bytes import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    chunk,
    find_segment,
    jpeg_with_exif,
    patched,
    picture,
    png,
    png_rows,
    png_with_exif,
    riff,
    riff_chunk,
    save,
    segment,
    tiff,
    u24,
    webp_extended,
    webp_with_exif,
    without,
)
from images_alpha import alphas
from images_avif import avifs
from images_bmp import bmps
from images_gif import gifs
from images_heic import heic, heics
from images_tiff import tiffs
from make_orientations import orientations
from reasons import LIMIT, UNDECODABLE, UNSUPPORTED

TEAL = (10, 120, 130)


class Output:
    """The folder that is written, and the lines of its index."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lines = []
        self.names = set()

    def _write(self, name, data):
        assert name not in self.names, name
        self.names.add(name)
        (self.folder / name).write_bytes(data)

    def ok(self, name, data, expected=None, background=None, exif=True, damages="-"):
        """A picture that decodes, to what Pillow says unless `expected` is given."""
        self._write(name, data)
        if expected is None:
            expected = pillow(data, background, exif)
        expected = np.ascontiguousarray(expected, dtype=np.uint8)
        height, width, channels = expected.shape
        assert channels == 3, name
        self._write(name + ".rgb", expected.tobytes())
        color = ",".join(map(str, background)) if background else "-"
        self.lines.append(
            [name, name, "-", name + ".rgb", width, height, color, int(exif), damages]
        )

    def damaged(self, name, data, damages, expected=None):
        """A picture that decodes in spite of its damage."""
        self.ok(name, data, expected, damages=damages)

    def bad(self, name, data, reason):
        """A picture that is refused."""
        self._write(name, data)
        self.lines.append([name, name, reason, "-", 0, 0, "-", 1, "-"])

    def extra(self, name, data):
        """A picture for one test, which is not in the index."""
        self._write(name, data)

    def sample(self, kind, name):
        """The picture that stands for its format."""
        (line,) = [line for line in self.lines if line[0] == name]
        assert line[2] == "-", name
        self.lines.append([f"sample_{kind}", *line[1:]])

    def close(self):
        text = "".join("\t".join(map(str, line)) + "\n" for line in self.lines)
        (self.folder / "index.tsv").write_text(text)


def pillow(data, background=None, exif=True):
    """Reference decode: the first frame, upright, as RGB."""
    image = Image.open(io.BytesIO(data))
    image.load()
    if exif:
        image = ImageOps.exif_transpose(image)
    if background is None:
        return np.asarray(image.convert("RGB"))
    image = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    return np.asarray(canvas)


# --- JPEG -------------------------------------------------------------------------------------

SOF = (0xC0, 0xC1, 0xC2)


def jpegs(out):
    for width, height in ((128, 96), (67, 45)):
        photo = Image.fromarray(picture(width, height))
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for quality in (30, 75, 95, 100):
                for progressive in (False, True):
                    name = "jpeg_{}x{}_{}_q{}_{}.jpg".format(
                        width,
                        height,
                        subsampling.replace(":", ""),
                        quality,
                        "progressive" if progressive else "baseline",
                    )
                    out.ok(
                        name,
                        save(
                            photo,
                            "JPEG",
                            quality=quality,
                            subsampling=subsampling,
                            progressive=progressive,
                        ),
                    )
        for progressive in (False, True):
            kind = "progressive" if progressive else "baseline"
            size = f"{width}x{height}_{kind}.jpg"
            options = {"quality": 90, "progressive": progressive}
            out.ok("jpeg_grey_" + size, save(photo.convert("L"), "JPEG", **options))
            out.ok("jpeg_rgb_" + size, save(photo, "JPEG", keep_rgb=True, **options))
            cmyk = save(Image.fromarray(picture(width, height, 4), "CMYK"), "JPEG", **options)
            out.ok("jpeg_cmyk_" + size, cmyk)
            adobe = find_segment(cmyk, (0xEE,))
            assert cmyk[adobe + 4 : adobe + 9] == b"Adobe" and cmyk[adobe + 15] == 0
            out.ok("jpeg_ycck_" + size, patched(cmyk, adobe + 15, 2))
            bare = cmyk[:adobe] + cmyk[adobe + 16 :]
            out.ok("jpeg_cmyk_without_adobe_" + size, bare)
        out.ok(
            f"jpeg_restart_{width}x{height}.jpg",
            save(photo, "JPEG", quality=85, restart_marker_blocks=2),
        )

    # Sampling factors that Pillow does not write: the same number of blocks, counted differently.
    for side in (64, 320):
        square = Image.fromarray(picture(side, side))
        for name, subsampling, factors in (("440", "4:2:2", 0x12), ("411", "4:2:0", 0x41)):
            data = save(square, "JPEG", quality=85, subsampling=subsampling)
            out.ok(f"jpeg_{name}_{side}.jpg", patched(data, find_segment(data, SOF) + 11, factors))

    # Large enough to leave out rows and columns of blocks.
    large = Image.fromarray(picture(300, 260))
    for progressive in (False, True):
        kind = "progressive" if progressive else "baseline"
        options = {"quality": 85, "progressive": progressive}
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            out.ok(
                f"jpeg_300x260_{subsampling.replace(':', '')}_{kind}.jpg",
                save(large, "JPEG", subsampling=subsampling, **options),
            )
        out.ok(f"jpeg_grey_300x260_{kind}.jpg", save(large.convert("L"), "JPEG", **options))
        out.ok(
            f"jpeg_cmyk_300x260_{kind}.jpg",
            save(Image.fromarray(picture(300, 260, 4), "CMYK"), "JPEG", **options),
        )
    out.ok("jpeg_300x260_restart.jpg", save(large, "JPEG", quality=85, restart_marker_blocks=5))

    for width, height in ((1, 1), (1, 2), (2, 1), (8, 8), (7, 9), (65500, 1), (1, 65500)):
        out.ok(
            f"jpeg_{width}x{height}.jpg",
            save(Image.fromarray(picture(width, height)), "JPEG", quality=90),
        )
    for name, level in (("black", 0), ("white", 255)):
        out.ok(f"jpeg_{name}.jpg", save(Image.new("RGB", (33, 17), (level,) * 3), "JPEG"))

    photo = Image.fromarray(picture(61, 83))
    baseline = save(photo, "JPEG", quality=88)
    progressive = save(photo, "JPEG", quality=88, progressive=True)
    for name, data in (("baseline", baseline), ("progressive", progressive)):
        expected = pillow(data)
        assert data[-2:] == b"\xff\xd9"
        out.damaged(f"jpeg_no_eoi_{name}.jpg", data[:-2], "no_end", expected)
        out.damaged(f"jpeg_half_eoi_{name}.jpg", data[:-1], "no_end", expected)
        out.ok(
            f"jpeg_trailing_{name}.jpg",
            data + b"PK\3\4" + baseline[:500] + bytes(9000),
            expected=expected,
        )
        # libjpeg takes the first few stray bytes into its bit buffer and reports the rest.
        out.ok(
            f"jpeg_padded_{name}.jpg", data[:-2] + bytes(2) + b"\xff\xff\xff\xd9", expected=expected
        )
        out.ok(
            f"jpeg_padded_more_{name}.jpg", data[:-2] + bytes(40) + b"\xff\xd9", expected=expected
        )
        padded = data[:-2] + bytes(200) + b"\xff\xd9"
        out.damaged(f"jpeg_much_padding_{name}.jpg", padded, "extra_bytes")
        # The end of a download that was preallocated with zeros.
        out.bad(
            f"jpeg_zeroed_end_{name}.jpg",
            data[: len(data) * 2 // 3] + bytes(len(data) // 3),
            UNDECODABLE,
        )

    # libjpeg-turbo smooths what lacks scans, and did so with another rounding before 3.0.1, but for
    # pictures in full colour resolution.
    for name in ("baseline", "progressive"):
        options = {"subsampling": "4:4:4", "progressive": name == "progressive"}
        data = save(photo, "JPEG", quality=88, **options)
        cut = data[: len(data) * 3 // 4] + b"\xff\xd9"
        out.damaged(f"jpeg_cut_then_eoi_{name}.jpg", cut, "missing_data")

    # Missing data must show even where a harmless warning follows the telling one.
    second = progressive.index(b"\xff\xda", find_segment(progressive, (0xDA,)) + 2)
    damaged = progressive[: second - 60] + progressive[second:-2] + bytes(40) + b"\xff\xd9"
    out.bad("jpeg_gap_and_padding.jpg", damaged, UNDECODABLE)
    odd_jpegs(out, photo, baseline)

    sof = find_segment(baseline, SOF)
    out.bad("jpeg_12_bit.jpg", patched(baseline, sof + 4, 12), UNSUPPORTED)
    out.bad("jpeg_lossless.jpg", patched(baseline, sof + 1, 0xC3), UNSUPPORTED)
    out.bad("jpeg_hierarchical.jpg", patched(baseline, sof + 1, 0xC5), UNSUPPORTED)
    out.bad("jpeg_arithmetic.jpg", patched(baseline, sof + 1, 0xC9), UNSUPPORTED)
    two = struct.pack(">BHHB", 8, 16, 16, 2) + bytes((1, 0x11, 0, 2, 0x11, 0))
    out.bad("jpeg_two_components.jpg", b"\xff\xd8" + segment(0xC0, two) + b"\xff\xd9", UNSUPPORTED)
    out.bad(
        "jpeg_zero_height.jpg", baseline[: sof + 5] + b"\0\0" + baseline[sof + 7 :], UNDECODABLE
    )
    out.bad(
        "jpeg_two_frames.jpg",
        baseline[:sof] + baseline[sof : sof + 19] + baseline[sof:],
        UNDECODABLE,
    )
    out.bad(
        "jpeg_no_scan.jpg", baseline[: find_segment(baseline, (0xDA,))] + b"\xff\xd9", UNDECODABLE
    )
    # Webcams leave out the Huffman tables: those of the standard are meant. Of the quantisation
    # tables there are none to fall back on.
    out.ok("jpeg_without_tables_huffman.jpg", without(baseline, 0xC4), expected=pillow(baseline))
    for name, data in (
        ("quantisation.jpg", without(baseline, 0xDB)),
        ("any.jpg", without(without(baseline, 0xDB), 0xC4)),
        ("progressive.jpg", without(progressive, 0xDB)),
        ("progressive_huffman.jpg", without(progressive, 0xC4)),
    ):
        out.bad("jpeg_without_tables_" + name, data, UNDECODABLE)
    # Tables that would show in another picture.
    coarse = save(photo, "JPEG", quality=3, optimize=True)
    out.ok("jpeg_coarse_tables.jpg", coarse)
    out.bad("jpeg_coarse_tables_cut.jpg", coarse[: len(coarse) * 2 // 3], UNDECODABLE)
    out.bad(
        "jpeg_claims_65500.jpg",
        baseline[: sof + 5] + b"\xff\xdc\xff\xdc" + baseline[sof + 9 :],
        LIMIT,
    )
    # Every repeated scan would cost a pass over all coefficients.
    scan = progressive.rindex(b"\xff\xda")
    out.bad(
        "jpeg_scan_bomb.jpg",
        progressive[:-2] + progressive[scan:-2] * 200 + b"\xff\xd9",
        UNDECODABLE,
    )


def odd_jpegs(out, photo, baseline):
    """What cameras, phones and tools write and every viewer shows."""
    frame = find_segment(baseline, SOF)
    scan = find_segment(baseline, (0xDA,))
    tail = scan + 5 + 2 * baseline[scan + 4]
    zeros = baseline[:tail] + bytes(3) + baseline[tail + 3 :]
    out.damaged("jpeg_scan_header_zeros.jpg", zeros, "header")
    jfif = baseline.index(b"JFIF\0") + 5
    version = baseline[:jfif] + bytes(2) + baseline[jfif + 2 :]
    out.damaged("jpeg_jfif_version_0.jpg", version, "header")
    adobe = segment(0xEE, b"Adobe\0d\0\0\0\0\7")
    unknown = baseline[:2] + adobe + baseline[20:]  # in the place of JFIF's
    out.damaged("jpeg_adobe_transform_7.jpg", unknown, "header")
    junk = baseline[:frame] + bytes(24) + baseline[frame:]
    out.damaged("jpeg_junk_between_segments.jpg", junk, "extra_bytes")
    restarts = save(photo, "JPEG", quality=88, restart_marker_rows=1)
    first = restarts.index(b"\xff\xd1")
    for count in (1, 9):
        stray = restarts[:first] + bytes(count) + restarts[first:]
        # libjpeg takes the first few into its bit buffer and sees nothing.
        out.damaged(f"jpeg_{count}_before_restart.jpg", stray, "extra_bytes" if count > 1 else "-")
    lost = restarts[:first] + restarts[first + 2 :]
    out.damaged("jpeg_restart_lost.jpg", lost, "extra_bytes,data,missing_data")
    # Tables by themselves in front, as in a stream of pictures that share them.
    out.ok("jpeg_tables_first.jpg", baseline[:frame] + b"\xff\xd9\xff\xd8" + baseline[frame:])


# --- PNG --------------------------------------------------------------------------------------


def png_kinds(out, rng, interlaced):
    """Every colour type and depth, with and without transparency."""
    tail = "_interlaced.png" if interlaced else ".png"

    def emit(name, samples, depth, color, expected=None, alpha=False, **options):
        data = png(samples, depth, color, interlaced, **options)
        out.ok(f"png_{name}{tail}", data, expected=expected)
        out.ok(
            f"png_{name}_background{tail}",
            data,
            background=TEAL,
            expected=None if alpha else expected,
        )

    for depth in (1, 2, 4, 8):
        emit(f"grey{depth}", rng.integers(0, 2**depth, (19, 29, 1)), depth, GREY)
        table = rng.integers(0, 256, (2**depth, 3), dtype=np.uint8)
        palette = chunk(b"PLTE", table.tobytes())
        indices = rng.integers(0, 2**depth, (19, 29, 1))
        emit(f"palette{depth}", indices, depth, PALETTE, extra=palette)
        shades = rng.integers(0, 256, 2**depth, dtype=np.uint8).tobytes()
        emit(
            f"palette{depth}_trns",
            indices,
            depth,
            PALETTE,
            alpha=True,
            extra=palette + chunk(b"tRNS", shades),
        )
    grey8 = picture(29, 19, 1)
    emit(
        "grey8_trns",
        grey8,
        8,
        GREY,
        alpha=True,
        extra=chunk(b"tRNS", struct.pack(">H", int(grey8[3, 4, 0]))),
    )
    rgb8 = picture(29, 19)
    emit("rgb8", rgb8, 8, RGB)
    emit(
        "rgb8_trns",
        rgb8,
        8,
        RGB,
        alpha=True,
        extra=chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb8[5, 6]))),
    )
    emit("grey_alpha8", picture(29, 19, 2), 8, GREY_ALPHA, alpha=True)
    emit("rgba8", rng.integers(0, 256, (19, 29, 4)), 8, RGBA, alpha=True)
    # Pillow clips 16-bit grey; the upper byte is what is wanted.
    grey16 = rng.integers(0, 65536, (19, 29, 1))
    emit("grey16", grey16, 16, GREY, expected=np.repeat(grey16 >> 8, 3, axis=2))
    emit("rgb16", rng.integers(0, 65536, (19, 29, 3)), 16, RGB)
    emit("grey_alpha16", rng.integers(0, 65536, (19, 29, 2)), 16, GREY_ALPHA, alpha=True)
    emit("rgba16", rng.integers(0, 65536, (19, 29, 4)), 16, RGBA, alpha=True)
    gamma = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"bKGD", bytes(6))
    emit("gamma", rng.integers(0, 256, (19, 29, 4)), 8, RGBA, alpha=True, extra=gamma)


def pngs(out):
    rng = np.random.default_rng(7)
    for interlaced in (False, True):
        png_kinds(out, rng, interlaced)

    photo = Image.fromarray(picture(70, 50))
    whole = save(photo, "PNG")  # Pillow's writer uses all row filters
    out.ok("png_filters.png", whole)
    out.ok("png_bilevel.png", save(photo.convert("1"), "PNG"))
    out.ok("png_quantized.png", save(photo.quantize(37), "PNG"))
    for width, height in ((1, 1), (1, 2), (2, 1), (65500, 1), (1, 65500)):
        out.ok(f"png_{width}x{height}.png", save(Image.fromarray(picture(width, height)), "PNG"))
    out.ok("png_trailing.png", whole + b"PK\3\4" + bytes(9000))
    frames = [Image.fromarray(picture(40, 30, seed=n)[:: 1 - 2 * (n % 2)]) for n in range(3)]
    out.ok("png_animated.png", save(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    out.ok(
        "png_animated_default.png",
        save(frames[0], "PNG", save_all=True, default_image=True, append_images=frames[1:]),
    )

    idat = whole.index(b"IDAT")
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "x" * 40)
    noted = save(photo, "PNG", pnginfo=text)
    out.ok("png_text.png", noted)
    bomb = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(30_000_000), 9))
    head = whole[: idat - 4]
    out.ok("png_text_bomb.png", head + bomb + whole[idat - 4 :], expected=pillow(whole))
    out.bad("png_bad_crc_idat.png", patched(whole, idat + 300, whole[idat + 300] ^ 1), UNDECODABLE)
    out.bad("png_bad_crc_text.png", noted.replace(b"xxxx", b"yyyy", 1), UNDECODABLE)
    out.bad("png_bad_crc_header.png", patched(whole, 29, whole[29] ^ 1), UNDECODABLE)
    out.damaged("png_no_iend.png", whole[:-12], "no_end")
    out.damaged("png_half_iend.png", whole[:-7], "no_end")
    out.damaged("png_no_checksum.png", whole[:-18], "no_end")
    out.damaged("png_bad_crc_iend.png", patched(whole, len(whole) - 1, 0), "checksum")
    late = chunk(b"tEXt", b"note\0late")
    out.ok("png_late_text.png", whole[:-12] + late + whole[-12:])
    out.damaged(
        "png_bad_crc_late_text.png", whole[:-12] + late[:-1] + b"\0" + whole[-12:], "checksum"
    )
    out.bad("png_cut_late_text.png", whole[:-12] + late[:-7], UNDECODABLE)
    out.bad("png_no_idat.png", head + chunk(b"IEND", b""), UNDECODABLE)
    out.ok("png_two_headers.png", head + whole[8:33] + whole[idat - 4 :])
    out.bad("png_idat_after_iend.png", head + chunk(b"IEND", b"") + whole[idat - 4 :], UNDECODABLE)
    rows = png_rows(np.asarray(photo), 8)
    for name, size in (("rows", len(rows) // 50 * 31), ("bytes", len(rows) // 50 * 31 + 5)):
        short = head + chunk(b"IDAT", zlib.compress(rows[:size])) + chunk(b"IEND", b"")
        if name == "rows":
            out.damaged("png_missing_rows.png", short, "missing_data")
        else:
            out.bad("png_missing_bytes.png", short, UNDECODABLE)
    out.bad(
        "png_bad_filter.png",
        head + chunk(b"IDAT", zlib.compress(b"\x09" + rows[1:])) + chunk(b"IEND", b""),
        UNDECODABLE,
    )
    index = np.arange(64).reshape(8, 8, 1)
    out.damaged("png_no_palette.png", png(index, 8, PALETTE), "header")
    for size in (3, 50, 192, 770):
        palette = chunk(b"PLTE", bytes((7 * i + 3) % 256 for i in range(size)))
        out.ok(f"png_palette_of_{size}_bytes.png", png(index, 8, PALETTE, extra=palette))
    palette = chunk(b"PLTE", bytes(771))
    out.bad("png_palette_of_257.png", png(index, 8, PALETTE, extra=palette), UNDECODABLE)
    for interlaced in (False, True):
        few = png(index, 8, PALETTE, interlaced, extra=chunk(b"PLTE", bytes(range(90, 240))))
        at = few.index(b"IDAT")
        rows = zlib.decompress(few[at + 4 : -16])
        rows = rows[: 9 * 4 if not interlaced else 2 + 2 + 3 + 3]  # whole rows
        few = few[: at - 4] + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        out.damaged(f"png_palette_missing_rows_{int(interlaced)}.png", few, "missing_data")
    out.bad("png_bad_depth.png", png(np.zeros((4, 4, 3)), 4, RGB), UNDECODABLE)
    header = struct.pack(">IIBBBBB", 60000, 60000, 1, GREY, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    out.bad(
        "png_bomb.png",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""),
        LIMIT,
    )
    zero = struct.pack(">IIBBBBB", 0, 5, 8, RGB, 0, 0, 0)
    out.bad(
        "png_zero_width.png",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", zero) + chunk(b"IEND", b""),
        UNDECODABLE,
    )


# --- WebP -------------------------------------------------------------------------------------


def webps(out):
    rng = np.random.default_rng(9)
    for width, height in ((80, 60), (61, 43), (1, 1), (1, 2), (16383, 1)):
        photo = Image.fromarray(picture(width, height))
        size = f"{width}x{height}.webp"
        out.ok("webp_lossless_" + size, save(photo, "WEBP", lossless=True))
        for quality in (20, 80, 100):
            out.ok(
                f"webp_q{quality}_" + size,
                save(photo, "WEBP", quality=quality),
            )
    ragged = Image.fromarray(rng.integers(0, 256, (31, 47, 4), dtype=np.uint8))
    smooth = Image.fromarray(picture(47, 31, 4))
    for name, data in (
        ("lossless", save(ragged, "WEBP", lossless=True, exact=True)),
        ("lossy", save(smooth, "WEBP", quality=85, exact=True)),
    ):
        out.ok(f"webp_alpha_{name}.webp", data)
        out.ok(f"webp_alpha_{name}_background.webp", data, background=TEAL)
    still = save(smooth.convert("RGB"), "WEBP", lossless=True)
    out.ok("webp_opaque_background.webp", still, background=TEAL)
    out.ok("webp_trailing.webp", still + b"PK\3\4" + bytes(9000))

    frames = [Image.fromarray(picture(40, 30, seed=n)[:: 1 - 2 * (n % 2)]) for n in range(3)]
    animated = save(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    out.ok("webp_animated.webp", animated, expected=np.asarray(frames[0]))
    # A first frame that covers part of the canvas; the rest is black, or the background asked for.
    small = save(ragged, "WEBP", lossless=True, exact=True)
    place = u24(10 // 2) + u24(6 // 2) + u24(47 - 1) + u24(31 - 1) + u24(100) + b"\2"
    frame = riff_chunk(b"ANMF", place + small[12:])
    body = riff_chunk(b"ANIM", struct.pack("<IH", 0xFF00FF00, 0)) + frame + frame
    partial = webp_extended(0x12, 70, 50, body)
    out.ok("webp_animated_partial.webp", partial)
    out.ok("webp_animated_partial_background.webp", partial, background=TEAL)
    out.bad("webp_animated_no_frame.webp", webp_extended(0x12, 70, 50, body[:14]), UNDECODABLE)
    out.bad("webp_animated_outside.webp", webp_extended(0x12, 50, 50, body), UNDECODABLE)
    out.bad(
        "webp_animated_cut.webp",
        webp_extended(0x12, 70, 50, body[:14] + frame[: len(frame) // 2]),
        UNDECODABLE,
    )

    out.bad("webp_canvas_mismatch.webp", webp_extended(0, 48, 31, still[12:]), UNDECODABLE)
    out.bad(
        "webp_size_too_large.webp",
        still[:4] + struct.pack("<I", len(still)) + still[8:],
        UNDECODABLE,
    )
    longer = webp_extended(0, 47, 31, still[12:])
    longer = longer[:16] + struct.pack("<I", 12) + longer[20:30] + bytes(2) + longer[30:]
    out.bad("webp_long_header.webp", riff(longer[12:]), UNDECODABLE)
    out.bad("webp_no_picture.webp", riff(b""), UNDECODABLE)
    out.bad("webp_unknown_chunk.webp", riff(riff_chunk(b"ABCD", bytes(40))), UNDECODABLE)
    out.bad("webp_claims_canvas.webp", webp_extended(0x02, 60000, 60000, b""), LIMIT)


# --- EXIF -------------------------------------------------------------------------------------


def exifs(out):
    size = (37, 23)
    photo = Image.fromarray(picture(*size))
    plain = {kind: of.plain(photo) for kind, of in FORMATS.items() if of.with_exif}
    for kind, data in plain.items():
        with_exif = FORMATS[kind].with_exif
        for orientation in range(1, 9):
            for order, name in (("<", "little"), (">", "big")):
                turned = with_exif(data, size, tiff(orientation, order, entries=3))
                out.ok(f"exif_{kind}_{orientation}_{name}", turned)
            out.ok(f"exif_{kind}_{orientation}_ignored", turned, exif=False)
        # Malformed blocks leave the picture as it is.
        for name, block in {
            "zero": tiff(0),
            "nine": tiff(9),
            "huge": tiff(65535),
            "ascii": tiff(6, kind=2),
            "many": tiff(6, count=0x7FFFFFFF),
            "past_end": tiff(6, offset=0xFFFFFFF0),
            "at_end": tiff(6, offset=len(tiff(6))),
            "in_header": tiff(6, offset=4),
            "self": tiff(6, offset=0),
            "no_magic": b"XX" + tiff(6)[2:],
            "empty": b"",
            "short": tiff(6)[:9],
            "overlong": tiff(1)[:8] + b"\xff\xff" + bytes(50),
        }.items():
            out.ok(
                f"exif_{kind}_bad_{name}",
                with_exif(data, size, block),
                expected=pillow(data),
            )
        # The next-directory link of every block here points back at the directory: a cycle.
        out.ok(f"exif_{kind}_cycle", with_exif(data, size, tiff(6, entries=5)))
    out.ok("exif_png_late", plain["png"][:-12] + chunk(b"eXIf", tiff(8)) + plain["png"][-12:])
    jpeg = plain["jpeg"]
    filler = segment(0xE1, b"Exif\0\0" + bytes(65000)) * 100
    out.ok(
        "exif_jpeg_100_blocks",
        jpeg[:2] + filler + jpeg[2:],
        expected=pillow(jpeg),
    )
    first = segment(0xE1, b"Exif\0\0" + tiff(6)) + segment(0xE1, b"Exif\0\0" + tiff(3))
    out.ok(
        "exif_jpeg_first_counts",
        jpeg[:2] + first + jpeg[2:],
        expected=np.rot90(pillow(jpeg), -1),
    )


# --- All formats ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that the server decodes.

    `pictures` writes good and bad pictures whose names begin with the format's; at least one claims
    more pixels than the limits allow. `sample` is a good one of some thousand pixels, no more than
    some thousand bytes. `plain` encodes a PIL image without loss, or nearly; `with_exif` takes such
    a file, its size and an EXIF block, and is None where files of the format hold none.
    """

    pictures: Callable
    sample: str
    plain: Callable
    with_exif: Callable | None = None


FORMATS = {
    "jpeg": Format(
        jpegs,
        "jpeg_67x45_420_q75_baseline.jpg",
        lambda image: save(image, "JPEG", quality=92, subsampling="4:4:4"),
        jpeg_with_exif,
    ),
    "png": Format(pngs, "png_filters.png", lambda image: save(image, "PNG"), png_with_exif),
    "webp": Format(
        webps,
        "webp_q80_61x43.webp",
        lambda image: save(image, "WEBP", lossless=True),
        webp_with_exif,
    ),
    "gif": Format(
        gifs, "gif_palette16.gif", lambda image: save(image.quantize(256, dither=0), "GIF")
    ),
    "tiff": Format(
        tiffs,
        "tiff_lzw_rgb.tif",
        lambda image: save(image, "TIFF", compression="tiff_adobe_deflate"),
    ),
    "bmp": Format(bmps, "bmp_64x40.bmp", lambda image: save(image, "BMP")),
    "avif": Format(
        avifs,
        "avif_420_67x45.avif",
        lambda image: save(image, "AVIF", quality=100, subsampling="4:4:4"),
    ),
    "heic": Format(
        heics,
        "heic_420_67x45.heic",
        lambda image: heic(image, quality=100, subsampling="4:4:4"),
    ),
}

# Formats that Pillow writes and the server does not decode.
OTHERS = (
    "JPEG2000",
    "PPM",
    "ICO",
    "TGA",
    "PCX",
    "ICNS",
    "PDF",
    "SGI",
    "EPS",
    "DDS",
)


def others(out):
    photo = Image.fromarray(picture(32, 24))
    for kind in OTHERS:
        options = {"append_images": []} if kind == "ICNS" else {}
        out.bad("other_" + kind.lower(), save(photo, kind, **options), UNSUPPORTED)
    out.bad("other_crx", b"\0\0\0\x1cftypcrx " + bytes(60), UNSUPPORTED)
    for magic in (b"IIU\0", b"IIRO", b"MMOR", b"FUJIFILMCCD-RAW ", b"FOVb", b"\0MRM"):
        name = magic.strip(b"\0 ").decode().lower()
        out.bad(f"other_raw_{name}", magic + bytes(60), UNSUPPORTED)
    out.bad("other_exr", b"\x76\x2f\x31\x01" + bytes(60), UNSUPPORTED)
    out.bad("other_hdr", b"#?RADIANCE\n" + bytes(60), UNSUPPORTED)
    out.bad("other_dicom", bytes(128) + b"DICM" + bytes(60), UNSUPPORTED)
    out.bad("other_svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', UNSUPPORTED)
    out.bad("other_html", b"<!DOCTYPE html><html></html>", UNSUPPORTED)
    out.bad("other_text", b"not a picture\n" * 20, UNSUPPORTED)
    out.bad("other_wave", b"RIFF" + struct.pack("<I", 40) + b"WAVE" + bytes(36), UNSUPPORTED)


def wide():
    """A JPEG as wide as phones make them, in strips that can be put together again and again."""
    rng = np.random.default_rng(20261129)
    soft = Image.fromarray(rng.integers(0, 256, (16, 750, 3), dtype=np.uint8)).resize((12000, 256))
    grain = rng.integers(-6, 7, (256, 12000, 3))
    pixels = np.clip(np.asarray(soft).astype(int) + grain, 0, 255).astype(np.uint8)
    return save(Image.fromarray(pixels), "JPEG", quality=85, restart_marker_rows=1)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Output(sys.argv[1])
    for kind, of in FORMATS.items():
        of.pictures(out)
        out.sample(kind, of.sample)
    exifs(out)
    orientations(out)
    alphas(out)
    others(out)
    out.extra("wide.jpg", wide())
    out.close()
    print(f"{len(out.lines)} pictures in {out.folder}")


if __name__ == "__main__":
    main()
