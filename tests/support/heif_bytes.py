"""The boxes of HEIF files (AVIF, HEIC): where they are, and files whose boxes were changed."""

import struct

# Boxes that hold boxes, and how many bytes of their own come first.
CONTAINERS = {
    b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"iref": 4, b"moov": 0, b"trak": 0, b"mdia": 0,
    b"minf": 0, b"stbl": 0, b"stsd": 8, b"av01": 78,
}  # fmt: skip


def boxes(data, begin=0, end=None):
    """(begin, end) of every box, an outer one before what it holds."""
    found = []
    end = len(data) if end is None else end
    while begin + 8 <= end:
        size = int.from_bytes(data[begin : begin + 4], "big")
        kind = data[begin + 4 : begin + 8]
        if size < 8 or begin + size > end:
            break
        found.append((begin, begin + size))
        if kind in CONTAINERS:
            found += boxes(data, begin + 8 + CONTAINERS[kind], begin + size)
        begin += size
    return found


def find(data, kind, skip=0):
    """Where a box of this kind begins."""
    return [at for at, _ in boxes(data) if data[at + 4 : at + 8] == kind][skip]


def box(kind, body):
    return struct.pack(">I", 8 + len(body)) + kind + body


def moved(data, behind, distance):
    """The file with the places of data that lie at `behind` or later this much later."""
    out = bytearray(data)

    def move(at, size):
        place = int.from_bytes(out[at : at + size], "big")
        if place >= behind:
            out[at : at + size] = (place + distance).to_bytes(size, "big")

    for at, end in boxes(data):
        kind = data[at + 4 : at + 8]
        if kind == b"stco":
            for place in range(at + 16, end - 3, 4):
                move(place, 4)
        if kind != b"iloc" or data[at + 8] > 1 or end - at < 16:
            continue
        version = data[at + 8]
        offset, length, base = data[at + 12] >> 4, data[at + 12] & 15, data[at + 13] >> 4
        place = at + 16
        for _ in range(int.from_bytes(data[at + 14 : at + 16], "big")):
            place += 4 + 2 * version
            # Either may have the place.
            is_in_file = version == 0 or data[place - 3] & 15 == 0
            if base and is_in_file:
                move(place, base)
            place += base
            pieces = int.from_bytes(data[place : place + 2], "big")
            place += 2
            for _ in range(pieces):
                if place + offset + length <= end and offset and is_in_file:
                    move(place, offset)
                place += offset + length
    return bytes(out)


def replaced(data, begin, end, new):
    """The file with other bytes in the place of a box: what is around it and behind it fits."""
    distance = len(new) - (end - begin)
    out = bytearray(moved(data, end, distance))
    for at, last in boxes(data):
        if at < begin and last >= end:
            size = int.from_bytes(out[at : at + 4], "big") + distance
            out[at : at + 4] = struct.pack(">I", size)
    return bytes(out[:begin]) + new + bytes(out[end:])


def with_box(data, kind, change):
    """The file whose first box of a kind has the body that `change` makes of its own."""
    at = find(data, kind)
    end = at + int.from_bytes(data[at : at + 4], "big")
    return replaced(data, at, end, box(kind, change(data[at + 8 : end])))


def with_property(data, new, essential=False, item=None):
    """The file whose primary item, or this one, has one more property, behind its others."""
    data = with_box(data, b"ipco", lambda body: body + new)
    count = len([1 for _ in children(data, b"ipco")])
    if item is None:
        at = find(data, b"pitm")
        item = int.from_bytes(data[at + 12 : at + 14], "big")

    def associated(body):
        wide = body[3] & 1
        id_size = 2 if body[0] == 0 else 4
        out = body[:8]
        at = 8
        while at < len(body):
            properties = body[at + id_size]
            end = at + id_size + 1 + properties * (1 + wide)
            entry = body[at:end]
            if int.from_bytes(body[at : at + id_size], "big") == item:
                number = count | (essential << (15 if wide else 7))
                entry = body[at : at + id_size] + bytes([properties + 1])
                entry += body[at + id_size + 1 : end] + number.to_bytes(1 + wide, "big")
            out += entry
            at = end
        return out

    return with_box(data, b"ipma", associated)


def children(data, kind):
    """(begin, end) of the boxes right within the first one of a kind."""
    at = find(data, kind)
    end = at + int.from_bytes(data[at : at + 4], "big")
    begin = at + 8 + CONTAINERS[kind]
    while begin < end:
        size = int.from_bytes(data[begin : begin + 4], "big")
        yield begin, begin + size
        begin += size


def without_times(data):
    """The file without the time of its making, which animations have."""
    out = bytearray(data)
    for at, _ in boxes(data):
        if data[at + 4 : at + 8] in (b"mvhd", b"tkhd", b"mdhd"):
            size = 16 if data[at + 8] == 1 else 8
            out[at + 12 : at + 12 + size] = bytes(size)
    return bytes(out)
