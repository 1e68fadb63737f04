"""Writes what Pillow and PyTorch compute, for the unit tests of server/model.

    python make_model_goldens.py OUT

resize.json, crop.json, sizes.json and heads.json describe the cases; the pixels and floats lie in
data.bin beside them, at the offsets that the cases name.
"""

import itertools
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


class Data:
    """Appends arrays to data.bin and hands out their offsets."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def add(self, array, dtype):
        offset = self.file.tell()
        self.file.write(np.ascontiguousarray(array, dtype=dtype).tobytes())
        self.file.write(b"\0" * (-self.file.tell() % 8))
        return offset


def picture(rng, kind, height, width):
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "noise":
        return noise
    if kind == "edges":  # hard black and white edges: here the order of the two passes shows
        return np.where(noise > 127, 255, 0).astype(np.uint8)
    small = Image.fromarray(noise[: max(1, height // 7), : max(1, width // 7)])
    return np.array(small.resize((width, height), Image.BICUBIC))


def resize_sizes(rng):
    """(height, width, new height, new width): up, down, mixed, odd, one pixel, extreme shapes."""
    for _ in range(140):
        yield tuple(int(n) for n in rng.integers(1, 130, 4))
    for _ in range(60):  # near the point where Pillow turns the order of its passes round
        height, width = (int(n) for n in rng.integers(40, 140, 2))
        new_width = int(width * rng.uniform(0.7, 0.99))
        new_height = height - 2 * (width - new_width) + int(rng.integers(-1, 2))
        if new_height >= 1:
            yield height, width, new_height, new_width
    for _ in range(40):  # the height alone
        height, width, new_height = (int(n) for n in rng.integers(1, 150, 3))
        yield height, width, new_height, width
    yield from [(1, 1, 5, 7), (1, 9, 4, 4), (9, 1, 4, 4), (30, 40, 1, 1), (40, 30, 1, 9)]
    yield from [(400, 3, 20, 5), (3, 400, 5, 20), (17, 17, 17, 30), (17, 17, 30, 17)]
    yield from [(512, 400, 327, 256), (400, 512, 256, 327), (600, 200, 256, 85)]


def resize_cases(data, rng):
    for number, (height, width, new_height, new_width) in enumerate(resize_sizes(rng)):
        kind = ("smooth", "noise", "edges")[number % 3]
        pixels = picture(rng, kind, height, width)
        source = data.add(pixels, np.uint8)
        for name, pillow in FILTERS.items():
            result = np.array(Image.fromarray(pixels).resize((new_width, new_height), pillow))
            yield {
                "filter": name,
                "kind": kind,
                "from": [height, width],
                "to": [new_height, new_width],
                "source": source,
                "expected": data.add(result, np.uint8),
            }


def crop_cases():
    """torchvision's CenterCrop along one axis: first source index, first target index."""
    for crop in (224, 225):
        for side in itertools.chain(range(200, 301), (1, 2, 16)):
            if side < crop:
                yield {"side": side, "crop": crop, "source": 0, "target": (crop - side) // 2}
            else:
                yield {
                    "side": side,
                    "crop": crop,
                    "source": int(round((side - crop) / 2.0)),
                    "target": 0,
                }


def size_cases(rng):
    """torchvision's Resize(int): the long side is truncated."""
    for _ in range(400):
        width, height = (int(n) for n in rng.integers(1, 5000, 2))
        target = int(rng.integers(1, 600))
        short, long = sorted((width, height))
        new_long = max(1, int(target * long / short))
        new = (target, new_long) if width <= height else (new_long, target)
        yield {"size": [width, height], "target": target, "expected": list(new)}


def gem(x, p, eps):
    return x.clamp(min=eps).pow(p).mean((1, 2)).pow(1.0 / p)


def gem_in_double(x, p, eps):
    return gem(x.double(), p, eps).float()


def head_case(data, case, compute, *args):
    """Adds what torch gives for these arguments, or that it refuses."""
    try:
        result = compute(*args)
    except RuntimeError as error:
        return {**case, "refused": str(error).splitlines()[0]}
    values, indices = result if isinstance(result, tuple) else (result, None)
    case = {
        **case,
        "shape": list(values.shape),
        "values": data.add(values.numpy(), np.float32),
    }
    if indices is not None:
        case["indices"] = data.add(indices.numpy(), np.int64)
    return case


def pair(values):
    return tuple(values) if len(values) == 2 else (values[0], values[0])


def max_pool(x, kernel, stride, padding, dilation, ceil):
    values, indices = F.max_pool2d(
        x, kernel, stride, padding, dilation, ceil_mode=ceil, return_indices=True
    )
    return values[0], indices[0]


def avg_pool(*args):
    return F.avg_pool2d(*args)[0]


def adaptive_avg(x, size):
    return F.adaptive_avg_pool2d(x, size)[0]


def adaptive_max(x, size):
    values, indices = F.adaptive_max_pool2d(x, size, True)
    return values[0], indices[0]


def window_cases(data, maps):
    grid = itertools.product(
        maps,
        [[1], [2], [3], [5], [2, 3], [9, 4]],
        [None, [1], [2], [3, 1], [7]],
        [[0], [1], [1, 2]],
    )
    for m, kernel, stride, padding in grid:
        x = m["tensor"][None]
        base = {"map": m["name"], "kernel_size": kernel, "padding": padding}
        if stride is not None:
            base["stride"] = stride
        k, p, s = pair(kernel), pair(padding), pair(stride) if stride else None
        for ceil, dilation in itertools.product([False, True], [[1], [2], [1, 3]]):
            case = {**base, "kind": "max_pool", "ceil_mode": ceil, "dilation": dilation}
            yield head_case(data, case, max_pool, x, k, s, p, pair(dilation), ceil)
        for ceil, include, divisor in itertools.product(
            [False, True], [False, True], [None, 3, -2]
        ):
            case = {**base, "kind": "avg_pool", "ceil_mode": ceil, "count_include_pad": include}
            if divisor is not None:
                case["divisor_override"] = divisor
            yield head_case(data, case, avg_pool, x, k, s, p, ceil, include, divisor)


def global_cases(data, maps):
    for m in maps:
        x, name = m["tensor"], m["name"]
        yield head_case(data, {"map": name, "kind": "global_avg"}, torch.mean, x, (1, 2))
        yield head_case(data, {"map": name, "kind": "global_max"}, torch.amax, x, (1, 2))
        for p, eps in [(3, 1e-6), (1, 1e-6), (2.5, 1e-3), (0.5, 0.1), (10, 1e-6)]:
            case = {"map": name, "kind": "gem", "p": p, "eps": eps}
            yield head_case(data, case, gem_in_double, x, p, eps)
        for size in ([1], [2, 3], [4], [7, 5], [9, 12]):
            case = {"map": name, "output_size": size}
            out = tuple(size) if len(size) == 2 else size[0]
            yield head_case(data, {**case, "kind": "adaptive_avg"}, adaptive_avg, x[None], out)
            yield head_case(data, {**case, "kind": "adaptive_max"}, adaptive_max, x[None], out)


def make_maps(data):
    torch.manual_seed(5)
    tensors = {
        "square": torch.randn(3, 7, 7),
        "wide": torch.randn(2, 5, 11),
        "ties": torch.randint(0, 3, (3, 8, 6)).float(),
        "pixel": torch.randn(2, 1, 1),
    }
    return [
        {"name": n, "tensor": t, "shape": list(t.shape), "values": data.add(t.numpy(), np.float32)}
        for n, t in tensors.items()
    ]


def main(out):
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    data = Data(folder / "data.bin")
    rng = np.random.default_rng(17)
    maps = make_maps(data)
    documents = {
        "resize": list(resize_cases(data, rng)),
        "crop": list(crop_cases()),
        "sizes": list(size_cases(rng)),
        "heads": {
            "maps": [{k: m[k] for k in ("name", "shape", "values")} for m in maps],
            "cases": list(itertools.chain(window_cases(data, maps), global_cases(data, maps))),
        },
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    data.file.close()


if __name__ == "__main__":
    main(sys.argv[1])
