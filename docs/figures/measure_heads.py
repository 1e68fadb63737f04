"""Measures what docs/heads.md says about vectors: shift, background, extent, encodings, signs.

    PYTHONPATH=client/python python docs/figures/measure_heads.py [all|shift|...]

Pictures are made of the sample photographs and sent as raw pixels that are the network's input as
they are. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from live import Client, add_arguments, as_array, as_input, cosine, samples, server

HEADS = ("global_avg", "gem:p=3", "gem:p=10", "global_max", "rmac", "crow")
SIDE = 224
GREY = (127, 127, 127)
# Squares of the photographs: left, top, right, bottom.
OBJECTS = {
    "cup": ("coffee", (185, 5, 395, 215)),
    "cat": ("cat", (110, 40, 370, 300)),
    "face": ("astronaut", (144, 10, 304, 170)),
    "helmet": ("astronaut", (290, 340, 462, 512)),
}
TEXTURES = {
    "wood": ("coffee", (480, 0, 600, 120)),
    "fur": ("cat", (40, 150, 130, 240)),
    "sky": ("rocket", (340, 7, 440, 107)),
    "flag": ("astronaut", (0, 150, 60, 210)),
}


def square(source: tuple[str, tuple[int, int, int, int]], side: int) -> Image.Image:
    name, box = source
    return samples()[name].resize((side, side), Image.Resampling.BICUBIC, box)


def disc(side: int) -> Image.Image:
    """The mask of an object: a disc whose edge is soft over two pixels."""
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((2, 2, side - 3, side - 3), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(1))


def centred(part: Image.Image, canvas: Image.Image, mask: Image.Image | None = None) -> Image.Image:
    out = canvas.copy()
    out.paste(part, ((SIDE - part.width) // 2, (SIDE - part.height) // 2), mask)
    return out


def canvas(texture: str) -> Image.Image:
    if texture == "grey":
        return Image.new("RGB", (SIDE, SIDE), GREY)
    return square(TEXTURES[texture], SIDE)


def table(title: str, rows: dict[str, list[float]], digits: int = 3) -> None:
    print(f"\n| {title} | " + " | ".join(f"`{head}`" for head in HEADS) + " |")
    print("|---" * (len(HEADS) + 1) + "|")
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{v:.{digits}f}" for v in values) + " |")


def mean_cosines(pairs: list[tuple[list[np.ndarray], list[np.ndarray]]]) -> list[float]:
    """For each head the mean over the pairs."""
    return [float(np.mean([cosine(a[k], b[k]) for a, b in pairs])) for k in range(len(HEADS))]


def shift(client: Client) -> None:
    """A window of 224 pixels that moves to the right over a photograph of 320 pixels' height."""
    windows: dict[int, list[list[np.ndarray]]] = {d: [] for d in (0, 1, 8, 16, 32, 64)}
    for photo in samples().values():
        scale = 320 / min(photo.size)
        size = (round(photo.width * scale), round(photo.height * scale))
        large = photo.resize(size, Image.Resampling.BICUBIC)
        for d, found in windows.items():
            window = large.crop((16 + d, 48, 16 + d + SIDE, 48 + SIDE))
            found.append(as_input(window, client, HEADS))
    plain = windows.pop(0)
    rows = {
        f"{d} px": mean_cosines(list(zip(plain, moved, strict=True)))
        for d, moved in windows.items()
    }
    rows["another photograph"] = mean_cosines(list(itertools.combinations(plain, 2)))
    table("cosine after a shift of", rows)


def background(client: Client) -> None:
    """Four objects on five backgrounds: do pictures of one object stay together?"""
    places = [*TEXTURES, "grey"]
    rows = {}
    for side in (64, 112, 160):
        mask = disc(side)
        found = {
            (thing, place): as_input(
                centred(square(OBJECTS[thing], side), canvas(place), mask), client, HEADS
            )
            for thing, place in itertools.product(OBJECTS, places)
        }
        pairs = list(itertools.combinations(found, 2))
        same_object = [(found[a], found[b]) for a, b in pairs if a[0] == b[0]]
        same_place = [(found[a], found[b]) for a, b in pairs if a[1] == b[1]]
        rows[f"{side} px: same object, other background"] = mean_cosines(same_object)
        rows[f"{side} px: other object, same background"] = mean_cosines(same_place)
        rows[f"{side} px: nearest picture shows the same object"] = [
            float(np.mean([nearest(found, key, k)[0] == key[0] for key in found]))
            for k in range(len(HEADS))
        ]
    table("object of", rows)


def nearest(found: dict, key: tuple[str, str], head: int) -> tuple[str, str]:
    """Which of the other pictures is nearest to one."""
    return max(
        (other for other in found if other != key),
        key=lambda other: cosine(found[key][head], found[other][head]),
    )


def extent(client: Client) -> None:
    """A texture on grey that grows, and copies of an object on grey."""
    full = {t: as_input(canvas(t), client, HEADS) for t in TEXTURES}
    rows = {}
    for side in (56, 112, 168):
        corner = (SIDE - side) // 2
        area = (corner, corner, corner + side, corner + side)
        parts = [
            (as_input(centred(canvas(t).crop(area), canvas("grey")), client, HEADS), full[t])
            for t in TEXTURES
        ]
        rows[f"texture on {side * side / SIDE**2:.0%} of the picture"] = mean_cosines(parts)
    side = SIDE // 4
    grids = {}
    for n in (1, 2, 4):
        grids[n] = []
        for thing in OBJECTS.values():
            picture = canvas("grey")
            corner = (4 - n) * side // 2
            for y, x in itertools.product(range(n), repeat=2):
                at = (corner + x * side, corner + y * side)
                picture.paste(square(thing, side), at, disc(side))
            grids[n].append(as_input(picture, client, HEADS))
    for n in (1, 2):
        rows[f"{n * n} of 16 copies of an object"] = mean_cosines(
            list(zip(grids[n], grids[4], strict=True))
        )
    table("cosine to the full picture", rows)


def encodings(client: Client) -> None:
    """Cosine of decoded FLOAT16 and INT8 to FLOAT32; the lowest of the photographs."""
    pb = client.pb
    decode: dict[str, Callable] = {
        "ENCODING_FLOAT16": lambda r: np.frombuffer(r.packed_values, "<f2").astype(np.float64),
        "ENCODING_INT8": lambda r: np.frombuffer(r.packed_values, np.int8) * r.scale,
    }
    print(
        "\n| head | encoding | bytes | lowest cosine to float32 | largest error / largest value |"
    )
    print("|---|---|---|---|---|")
    for head in ("global_avg", "gem", "global_max", "rmac", "crow"):
        for name, read in decode.items():
            worst, error, size = 1.0, 0.0, 0
            for photo in samples().values():
                image = np.asarray(photo)
                (exact,) = client.features(image, head)
                reply = client.extract([image], [f"{head}:encoding={name}"])
                result = reply.results[0].features.head_results[0]
                assert result.encoding == pb.Encoding.Value(name)
                got, size = read(result), len(result.packed_values)
                worst = min(worst, cosine(got, exact))
                error = max(error, float(np.abs(got - exact).max() / np.abs(exact).max()))
            print(f"| `{head}` | {name[9:]} | {size} | {worst:.7f} | {error:.1e} |")
    reply = client.extract([np.asarray(samples()["cat"])], ["global_avg:encoding=ENCODING_BINARY"])
    packed = np.frombuffer(reply.results[0].features.head_results[0].packed_values, np.uint8)
    ones = np.unpackbits(packed).mean()
    print(f"\nBINARY of global_avg: {packed.size} bytes, {ones:.1%} of the bits of the cat are 1")


def signs(client: Client) -> None:
    """What of each layer is negative, and what heads make of it."""
    print(
        "\n| layer | values below 0 | their share of the squares | cells whose sum is below 0 |",
        end="",
    )
    print(" channels for which lp, p 3, is NaN |\n|---|---|---|---|---|")
    model = client.stub.GetModel(client.pb.GetModelRequest()).model
    for layer in model.layers:
        rows = []
        for photo in samples().values():
            heads = (f"feature_map:layer={layer.name}", f"lp:p=3,layer={layer.name}")
            x, powers = client.features(np.asarray(photo), *heads)
            below = float((np.minimum(x, 0) ** 2).sum() / (x**2).sum())
            rows.append([(x < 0).mean(), below, (x.sum(0) < 0).mean(), np.isnan(powers).mean()])
        cells = [f"{value:.0%}" for value in np.mean(rows, 0)]
        print(f"| `{layer.name}` | " + " | ".join(cells) + " |")
    (x,) = client.features(np.asarray(samples()["cat"]), "feature_map")
    print(f"\nfeatures of the cat: {(x == 0).mean():.0%} of the values are 0")


def scores(client: Client) -> None:
    """fc(GAP(x)) against the mean of the class activation map, at three input sizes."""
    pb = client.pb
    image = np.asarray(samples()["cat"])
    for side in (160, 224, 448):
        options = pb.InputOptions(input_height_px=side, input_width_px=side)
        heads = ["class_scores:top_k=0,score_type=SCORE_TYPE_LOGITS"]
        heads += [f"class_activation_map:class_index={c}" for c in (281, 282, 285)]
        reply = client.extract([image], heads, input_options=options)
        logits, *maps = reply.results[0].features.head_results
        differences = [
            round(float(logits.class_scores[c].score - np.mean(m.values)), 6)
            for c, m in zip((281, 282, 285), maps, strict=True)
        ]
        print(f"input {side}: map {list(maps[0].shape)}, logit - mean(map): {differences}")


def windows(client: Client) -> None:
    """Windows at the edge, and a convolution in place of pooling, on small maps."""

    def pool(x: np.ndarray, *heads: str) -> list[np.ndarray]:
        tensor = client.pb.Tensor(shape=(1, *x.shape), values=x.ravel().tolist())
        request = client.pb.PoolTensorRequest(tensor=tensor, heads=[client.head(h) for h in heads])
        return [as_array(r) for r in client.stub.PoolTensor(request).results[0].head_results]

    ones, count = np.ones((1, 6, 6)), np.arange(49.0).reshape(1, 7, 7)
    edge = "kernel_size=3,stride=2,padding=1,ceil_mode=true"
    for x, head in (
        (count, "avg_pool:kernel_size=2,stride=3,ceil_mode=true"),
        (ones, f"avg_pool:{edge}"),
        (ones, f"avg_pool:{edge},count_include_pad=false"),
        (ones, f"avg_pool:{edge},divisor_override=1"),
        (-ones, f"max_pool:{edge}"),
        (count[:, :2, :2], "max_pool:kernel_size=1,stride=2,ceil_mode=true"),
        (count[:, :4, :4], "max_unpool:kernel_size=2"),
    ):
        print(f"{head} of {x.shape[1]} x {x.shape[2]}: {pool(x, head)[0][0].round(3).tolist()}")
    x = np.random.default_rng(1).normal(size=(64, 14, 14))
    a, b = pool(x, "avg_pool:kernel_size=3", "conv_pool:kernel_size=3,mean_filter=true")
    print(f"conv_pool with the mean filter - avg_pool: at most {np.abs(a - b).max():.1e}")


MEASUREMENTS = (shift, background, extent, encodings, signs, scores, windows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [m.__name__ for m in MEASUREMENTS]
    parser.add_argument("what", nargs="?", choices=["all", *names], default="all")
    add_arguments(parser)
    args = parser.parse_args()
    with server(args) as (client, _):
        for measure in MEASUREMENTS:
            if args.what in ("all", measure.__name__):
                print(f"\n{measure.__name__}: {measure.__doc__}")
                measure(client)


if __name__ == "__main__":
    main()
