"""HEIC pictures for make_images.py."""

import io
import struct

import numpy as np
import pillow_heif
from PIL import Image

from heif_bytes import box, boxes, find, replaced, with_box, with_property
from image_bytes import picture, save, tiff
from reasons import LIMIT, UNDECODABLE, UNSUPPORTED

# Behind Pillow's own plug-ins: pillow-heif would take AVIFs that begin as any HEIF file, and has no
# decoder for them.
Image.init()
pillow_heif.register_heif_opener()

TEAL = (10, 120, 130)
CHROMAS = ("4:2:0", "4:2:2", "4:4:4")
# Code points of matrices that libheif converts, and those that it does not.
MATRICES = (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13)
UNKNOWN_MATRICES = (3, 11, 14, 15, 16)


def heic(image, **options):
    """Of few bytes, the same each time."""
    return save(image, "HEIF", **options)


def deep():
    """(name, file) of pictures of more than 8 bits."""
    for bits in (10, 12):
        pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        for mode, channels in (("RGB;16", 3), ("RGBA;16", 4)):
            wide = picture(68, 46, channels).astype(np.uint16) * 257
            image = pillow_heif.from_bytes(mode=mode, size=(68, 46), data=wide.tobytes())
            for chroma in CHROMAS:
                out = io.BytesIO()
                image.save(out, quality=85, chroma=chroma.replace(":", ""))
                alpha = "_alpha" * (channels == 4)
                yield f"{bits}_bit_{chroma.replace(':', '')}{alpha}", out.getvalue()
        grey = Image.fromarray(picture(68, 46)).convert("L")
        wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        yield f"{bits}_bit_grey", heic(wide, quality=85)
    pillow_heif.options.SAVE_HDR_TO_12_BIT = False


def with_colors(data, matrix, full_range, primaries=1):
    """The file with other colours in its boxes `colr`."""
    body = b"nclx" + struct.pack(">HHHB", primaries, 13, matrix, 0x80 * full_range)
    out = bytearray(data)
    for at, end in boxes(data):
        if data[at + 4 : at + 12] == b"colrnclx":
            out[at + 8 : end] = body
    assert bytes(out) != data or matrix == 6
    return bytes(out)


def renamed(data, kind, new=b"free"):
    """The file with all boxes of a kind under another name."""
    out = bytearray(data)
    for at, _ in boxes(data):
        if data[at + 4 : at + 8] == kind:
            out[at + 4 : at + 8] = new
    return bytes(out)


def clap(width, height, across, down):
    """A cut of this size, so far beside the middle: numbers, or pairs of numerator and
    denominator."""
    numbers = []
    for number in (width, height, across, down):
        above, below = number if isinstance(number, tuple) else (number, 1)
        numbers += [above & 0xFFFFFFFF, below]
    return box(b"clap", struct.pack(">8I", *numbers))


def irot(quarters):
    return box(b"irot", bytes([quarters]))


def imir(axis):
    return box(b"imir", bytes([axis]))


def pixels(data):
    """Those of grey of more than 8 bits: the upper 8. Pillow clips it."""
    grey = np.asarray(Image.open(io.BytesIO(data))) >> 8
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def heics(out):
    for width, height in ((67, 45), (64, 64), (1, 1), (2, 1), (16, 8), (7, 130), (130, 70)):
        photo = Image.fromarray(picture(width, height))
        for chroma in CHROMAS:
            kind = chroma.replace(":", "")
            data = heic(photo, subsampling=chroma, quality=80)
            out.ok(f"heic_{kind}_{width}x{height}.heic", data)
        out.ok(f"heic_grey_{width}x{height}.heic", heic(photo.convert("L"), quality=80))
    photo = Image.fromarray(picture(67, 45))
    for chroma in CHROMAS:
        kind = chroma.replace(":", "")
        for quality in (10, 50, 100):
            out.ok(f"heic_{kind}_q{quality}.heic", heic(photo, subsampling=chroma, quality=quality))
        out.ok(f"heic_{kind}_background.heic", heic(photo, subsampling=chroma), background=TEAL)
        data = heic(photo, subsampling=chroma, quality=90)
        for matrix in MATRICES:
            for full in (True, False):
                name = f"heic_{kind}_matrix_{matrix}_{'full' if full else 'limited'}.heic"
                out.ok(name, with_colors(data, matrix, full, primaries=9))
        for matrix in UNKNOWN_MATRICES:
            name = f"heic_{kind}_matrix_{matrix}.heic"
            out.bad(name, with_colors(data, matrix, matrix < 14), UNSUPPORTED)
        out.ok(f"heic_{kind}_no_colors.heic", renamed(data, b"colr"))
        out.ok(f"heic_{kind}_profile.heic", heic(photo, subsampling=chroma, icc_profile=bytes(300)))
    for primaries in (1, 2, 4, 5, 6, 8, 10, 11, 22):
        data = with_colors(heic(photo, quality=90), 12, True, primaries)
        out.ok(f"heic_primaries_{primaries}.heic", data)
    out.ok("heic_lossless.heic", heic(photo, subsampling="4:4:4", quality=-1))
    for name, data in deep():
        if "grey" in name and "alpha" not in name:
            out.ok(f"heic_{name}.heic", data, expected=pixels(data))
        else:
            out.ok(f"heic_{name}.heic", data)
            for matrix, full in ((1, False), (2, True), (8, True), (9, True), (9, False)):
                if b"colrnclx" in data:
                    said = f"{matrix}_{'full' if full else 'limited'}"
                    out.ok(f"heic_{name}_matrix_{said}.heic", with_colors(data, matrix, full))
        if "alpha" in name:
            out.ok(f"heic_{name}_background.heic", data, background=TEAL)
    alphas(out)
    grids(out)
    turned(out)
    broken(out, photo)


def alphas(out):
    clear = Image.fromarray(picture(48, 32, 4))
    odd = Image.fromarray(picture(47, 31, 4))
    for chroma in CHROMAS:
        kind = chroma.replace(":", "")
        for name, image in (("alpha", clear), ("alpha_odd", odd)):
            data = heic(image, subsampling=chroma, quality=90)
            out.ok(f"heic_{kind}_{name}.heic", data)
            out.ok(f"heic_{kind}_{name}_background.heic", data, background=TEAL)
    out.ok("heic_grey_alpha.heic", heic(clear.convert("LA"), quality=90))
    data = heic(clear, quality=90, exif=tiff(6))
    out.ok("heic_alpha_turned.heic", data)
    out.ok("heic_alpha_turned_background.heic", data, background=TEAL)
    premultiplied = heic(Image.fromarray(picture(48, 32, 4)).convert("RGBa"), quality=90)
    out.ok("heic_alpha_premultiplied.heic", premultiplied)
    out.ok("heic_alpha_premultiplied_background.heic", premultiplied, background=TEAL)


def grids(out):
    for width, height in ((256, 192), (200, 150), (130, 64)):
        photo = Image.fromarray(picture(width, height))
        for chroma in CHROMAS:
            kind = chroma.replace(":", "")
            data = heic(photo, subsampling=chroma, tile_size=64, quality=70)
            out.ok(f"heic_grid_{kind}_{width}x{height}.heic", data)
            turned_grid = heic(photo, subsampling=chroma, tile_size=64, quality=70, exif=tiff(6))
            out.ok(f"heic_grid_{kind}_{width}x{height}_turned.heic", turned_grid)
        out.ok(f"heic_grid_grey_{width}x{height}.heic", heic(photo.convert("L"), tile_size=64))


def turned(out):
    """By boxes; what EXIF and XMP say does not count beside them."""
    for width, height in ((67, 45), (64, 45), (67, 46), (64, 46)):
        photo = Image.fromarray(picture(width, height))
        for chroma in CHROMAS:
            kind = f"{chroma.replace(':', '')}_{width}x{height}"
            plain = heic(photo, subsampling=chroma, quality=85)
            for quarters in range(1, 4):
                if chroma == "4:2:2" and quarters == 2 and width % 2 == 1 and height % 2 == 0:
                    continue  # libheif moves the colours by a pixel
                out.ok(f"heic_{kind}_irot_{quarters}.heic", with_property(plain, irot(quarters)))
            for axis in range(2):
                out.ok(f"heic_{kind}_imir_{axis}.heic", with_property(plain, imir(axis)))
            for name, cut in (
                ("middle", clap(32, 20, 0, 0)),
                ("corner", clap(30, 20, -((width - 30) // 2), -((height - 20) // 2))),
                ("odd", clap(31, 21, (-3, 2), (5, 2))),
                ("edge", clap(300, 20, 3, 1)),
                ("fractions", clap((61, 2), (41, 2), (7, 3), (-11, 4))),
            ):
                out.ok(f"heic_{kind}_clap_{name}.heic", with_property(plain, cut))
    photo = Image.fromarray(picture(66, 44))
    for orientation in range(1, 9):
        data = heic(photo, exif=tiff(orientation), quality=85)
        out.ok(f"heic_turned_{orientation}.heic", data)
        out.ok(f"heic_turned_{orientation}_ignored.heic", data, exif=False)
    plain = heic(photo, quality=85)
    for first, second in ((irot(1), imir(0)), (imir(0), irot(1)), (irot(3), imir(1))):
        both = with_property(with_property(plain, first), second)
        out.ok(f"heic_turned_twice_{first.hex()}_{second.hex()}.heic", both)
        cut = with_property(both, clap(20, 30, 4, -2))
        out.ok(f"heic_turned_and_cut_{first.hex()}_{second.hex()}.heic", cut)
        first_cut = with_property(with_property(plain, clap(20, 30, 4, -2)), first)
        out.ok(f"heic_cut_and_turned_{first.hex()}_{second.hex()}.heic", first_cut)


def part(data, kind):
    """The first box of a kind."""
    at = find(data, kind)
    return data[at : at + int.from_bytes(data[at : at + 4], "big")]


def grid_of(tile, columns, rows, width, height, more=b""):
    """A grid of this size, each of whose tiles is the one picture of a file; `more` are properties
    of the whole.
    """
    count = columns * rows
    size = struct.pack(">II", width, height)
    grid = struct.pack(">BBBB", 0, 1, rows - 1, columns - 1) + size
    extra = [more[at:end] for at, end in boxes(more)]
    properties = [part(tile, b"hvcC"), part(tile, b"ispe"), part(tile, b"colr")]
    properties += [box(b"ispe", bytes(4) + size), *extra]
    ipma = struct.pack(">II", 0, count + 1)
    ipma += struct.pack(">HB", 1, 1 + len(extra)) + bytes(range(4, 5 + len(extra)))
    for item in range(2, count + 2):
        ipma += struct.pack(">HBBBB", item, 3, 0x81, 2, 3)
    names = [box(b"infe", struct.pack(">IHH4sB", 2 << 24, 1, 0, b"grid", 0))]
    for item in range(2, count + 2):
        names.append(box(b"infe", struct.pack(">IHH4sB", (2 << 24) + 1, item, 0, b"hvc1", 0)))
    payload = part(tile, b"mdat")[8:]

    def meta(start):
        iloc = struct.pack(">IHH", 1 << 24, 0x4400, count + 1)
        iloc += struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid))
        for item in range(2, count + 2):
            iloc += struct.pack(">HHHHII", item, 0, 0, 1, start, len(payload))
        refs = struct.pack(">HH", 1, count) + struct.pack(f">{count}H", *range(2, count + 2))
        inside = [
            box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
            box(b"pitm", struct.pack(">IH", 0, 1)),
            box(b"iinf", struct.pack(">IH", 0, count + 1) + b"".join(names)),
            box(b"iloc", iloc),
            box(b"iref", bytes(4) + box(b"dimg", refs)),
            box(b"idat", grid),
            box(b"iprp", box(b"ipco", b"".join(properties)) + box(b"ipma", ipma)),
        ]
        return box(b"meta", bytes(4) + b"".join(inside))

    head = box(b"ftyp", b"heic\0\0\0\0heicmif1")
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", payload)


def broken(out, photo):
    plain = heic(photo, quality=80)
    out.ok("heic_trailing.heic", plain + b"PK\3\4" + bytes(9000))
    at = find(plain, b"meta")
    out.ok("heic_free_first.heic", replaced(plain, at, at, box(b"free", bytes(40))))
    brand = plain.index(b"heic")
    for major in (b"heix", b"heim", b"mif1", b"hevc"):
        data = plain[:brand] + major + plain[brand + 4 :]
        out.ok(f"heic_major_{major.decode()}.heic", data)
    for name, width, height in (
        ("side", 70000, 1),
        ("most_pixels", 0xFFFFFFFF, 0xFFFFFFFF),
    ):
        at = find(plain, b"ispe") + 12
        claims = plain[:at] + struct.pack(">II", width, height) + plain[at + 8 :]
        out.bad(f"heic_claims_{name}.heic", claims, UNDECODABLE)
    tile = heic(Image.new("RGB", (4096, 4096), TEAL), quality=10)
    out.bad("heic_many_pixels.heic", grid_of(tile, 4, 4, 16380, 16380), LIMIT)
    cut = grid_of(tile, 4, 4, 16380, 16380, clap(16, 16, 0, 0))
    out.bad("heic_cut_out_of_many_pixels.heic", cut, LIMIT)
    out.bad("heic_grid_far_larger.heic", grid_of(tile, 1, 1, 70, 40), UNDECODABLE)
    tile = heic(Image.fromarray(picture(32, 24)), quality=90)
    out.ok("heic_grid_of_1.heic", grid_of(tile, 1, 1, 30, 20))
    out.ok("heic_grid_of_6.heic", grid_of(tile, 3, 2, 70, 40))
    for axis in range(2):
        turned_grid = grid_of(tile, 3, 2, 67, 45, imir(axis))
        out.ok(f"heic_grid_of_6_imir_{axis}.heic", turned_grid)
    out.ok("heic_grid_of_6_cut.heic", grid_of(tile, 3, 2, 67, 45, clap(31, 21, (-3, 2), (5, 2))))
    out.bad("heic_grid_with_a_gap.heic", grid_of(tile, 3, 2, 300, 40), UNDECODABLE)
    out.ok("heic_grid_larger.heic", grid_of(tile, 6, 5, 70, 40))
    odd = heic(Image.fromarray(picture(32, 24)), quality=90, subsampling="4:4:4")
    out.ok("heic_grid_444.heic", grid_of(odd, 2, 2, 51, 33))
    at = find(plain, b"ispe") + 12
    out.bad("heic_zero_width.heic", plain[:at] + bytes(4) + plain[at + 4 :], UNDECODABLE)
    out.bad("heic_smaller.heic", plain[:at] + struct.pack(">II", 66, 45) + plain[at + 8 :],
            UNDECODABLE)  # fmt: skip
    for kind in (b"pitm", b"iloc", b"iinf", b"iprp", b"ipma", b"ipco", b"hvcC", b"hdlr", b"ispe"):
        at = find(plain, kind)
        size = int.from_bytes(plain[at : at + 4], "big")
        without = replaced(plain, at, at + size, b"")
        out.bad(f"heic_without_{kind.decode().lower()}.heic", without, UNDECODABLE)
    out.bad("heic_no_boxes.heic", plain[: find(plain, b"meta")], UNDECODABLE)
    empty_cut = with_property(plain, clap(0, 10, 0, 0))
    out.bad("heic_cut_to_nothing.heic", empty_cut, UNDECODABLE)
    aside = with_property(plain, clap(10, 10, 500, 0))
    out.bad("heic_cut_beside.heic", aside, UNDECODABLE)
    strange = with_property(plain, box(b"zzzz", bytes(4)), essential=True)
    out.bad("heic_essential_property.heic", strange, UNSUPPORTED)
    out.ok("heic_other_property.heic", with_property(plain, box(b"zzzz", bytes(4))))

    # Indices that would have a reader work out of proportion.
    padded = with_box(plain, b"ipco", lambda body: body + box(b"free", b"") * 20_000)
    out.bad("heic_long_index.heic", padded, UNDECODABLE)
    grid = heic(Image.fromarray(picture(128, 64)), tile_size=64)
    more = struct.pack(">HH", 1, 1001) + struct.pack(">H", 1) * 1001
    full = with_box(grid, b"iref", lambda body: body + box(b"dimg", more))
    out.bad("heic_many_tiles.heic", full, UNDECODABLE)
