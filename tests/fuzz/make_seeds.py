#!/usr/bin/env python3
"""Writes what the fuzz targets begin with: a folder of small files for each.

usage: make_seeds.py IMAGES OUT_DIR

IMAGES: what make_images.py wrote. OUT_DIR is written anew.
"""

import hashlib
import itertools
import json
import pathlib
import re
import shutil
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

from image_bytes import tiff  # noqa: E402
from mutants import BASES  # noqa: E402

MOST_BYTES = 8192  # of a file: small ones are read often


MAGICS = {
    "jpeg": (b"\xff\xd8",),
    "png": (b"\x89PNG",),
    "webp": (b"RIFF",),
    "gif": (b"GIF8",),
    "bmp": (b"BM",),
    "tiff": (b"II", b"MM"),
    "avif": tuple(bytes((0, 0, 0, size)) + b"ftypavi" for size in range(16, 64, 4)),
    "heic": tuple(bytes((0, 0, 0, size)) + b"ftyphe" for size in range(16, 64, 4)),
}


def pictures(images):
    """By format: those of the unit tests, good and bad, and those that damage begins with."""
    found = {fmt: list(bases()) for fmt, bases in BASES.items()}
    for line in (images / "index.tsv").read_text().splitlines():
        data = (images / line.split("\t")[1]).read_bytes()
        for fmt, magics in MAGICS.items():
            if data.startswith(magics):
                found[fmt].append(data)
    return {
        fmt: [data for data in all_of if len(data) <= MOST_BYTES] for fmt, all_of in found.items()
    }


def exif_blocks(files):
    """EXIF data in files, wherever it begins, and by itself."""
    yield from (tiff(orientation) for orientation in range(10))
    for data in files:
        for found in re.finditer(rb"Exif\0\0", data):
            yield data[found.end() : found.end() + 400]


def xmp_packets(files):
    for data in files:
        for found in re.finditer(rb"<x:xmpmeta|tiff:Orientation", data):
            yield data[max(found.start() - 100, 0) : found.start() + 300]


def blocks(page, language):
    """The blocks of code in a page of documentation."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def manifests():
    whole = json.loads(blocks("docs/bundle.md", "json")[0])
    whole["weights_sha256"] = "a" * 64
    whole["files"] = [
        {"path": path, "sha256": "b" * 64} for path in sorted(paths_in(whole)) if "." in path
    ]
    yield whole
    for name in whole:
        yield {key: value for key, value in whole.items() if key != name}
    compiled = {"engine": "aotinductor", "precision": "float32", "path": "backbone.ts"}
    compiled |= {"device": "cpu", "instruction_set": "x86-64-v3", "min_side": 32}
    compiled["aligned"] = {"path": "backbone.xml", "multiple": 32}
    yield whole | {"engines": [compiled]}
    yield from ({}, [], whole | {"format_version": 2}, whole | {"layers": []})


def paths_in(value):
    """The texts of a manifest that may be names of files."""
    if isinstance(value, dict):
        for part in value.values():
            yield from paths_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from paths_in(part)
    elif isinstance(value, str) and re.fullmatch(r"[a-z0-9.]+\.(ts|xml|f32|txt|png)", value):
        yield value


def option_files():
    options = sorted(
        set(re.findall(r'\.flag = "--([a-z0-9-]+)"', "".join(sources("server/**/*options.h"))))
    )
    assert len(options) > 40
    values = ("1", "true", "false", '"auto"', "'refuse'", "-1", "10.5", '"127.0.0.1:1"', "99999999")
    for option in options:
        yield "".join(f"{option} = {value}  # said\n" for value in values)
        yield f"# one\n\n{option} = 64\r\n"
    yield "\n".join(f"{option} = 8" for option in options)
    yield '\ufeffmodel-dir = "a\\tb\\u0041\\U00000042\\""\n[table]\n"quoted" = \'literal\'\n'
    yield "a.b = 1_000\nport = 0x10\n"


def sources(pattern):
    return [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern))]


def kserve_requests():
    from tritonclient.grpc import service_pb2 as pb

    def request(*names, datatype="BYTES", shape=(1,), raw=b"\3\0\0\0abc", **parameters):
        out = pb.ModelInferRequest(model_name="m", model_version="1", id="a-1")
        tensor = out.inputs.add(name="image", datatype=datatype, shape=shape)
        if isinstance(raw, bytes):
            out.raw_input_contents.append(raw)
        else:
            tensor.contents.CopyFrom(raw)
        for name in names:
            out.outputs.add(name=name)
        for key, value in parameters.items():
            field = {bool: "bool_param", int: "int64_param", float: "double_param"}
            setattr(out.parameters[key], field.get(type(value), "string_param"), value)
        return out

    yield request()
    yield request(shape=(2, 1), raw=b"\1\0\0\0a\0\0\0\0")
    yield request(raw=pb.InferTensorContents(bytes_contents=[b"abc"]))
    yield request(datatype="UINT8", shape=(1, 2, 2, 3), raw=bytes(12))
    numbers = pb.InferTensorContents(uint_contents=[0, 255, 256] * 4)
    yield request(datatype="UINT8", shape=(1, 2, 2, 3), raw=numbers)
    yield request(datatype="UINT8", shape=(1, 2**31 - 1, 2**31 - 1, 3), raw=b"")

    def with_regions(shape, edges, counts=None, **parameters):
        out = request(shape=(2,), raw=b"\1\0\0\0a\1\0\0\0b", **parameters)
        out.inputs.add(name="regions", datatype="FP32", shape=shape)
        out.raw_input_contents.append(struct.pack(f"<{len(edges)}f", *edges))
        if counts is not None:
            out.inputs.add(name="region_count", datatype="INT32", shape=(len(counts), 1))
            out.raw_input_contents.append(struct.pack(f"<{len(counts)}i", *counts))
        return out

    yield with_regions((2, 1, 4), range(8))
    yield with_regions((2, 2, 4), range(16), (2, 0), mode="crop", relative=True)
    yield with_regions((2, 2, 4), range(16), (1, 2), output_size="3x5", sampling_ratio=2)
    yield with_regions((2, 65, 4), [float("nan")] * 520, pooling="roi_pool")
    yield with_regions((2, 2**61, 4), [])
    typed = request(raw=pb.InferTensorContents(bytes_contents=[b"abc"]), aligned=False)
    regions = typed.inputs.add(name="regions", datatype="FP32", shape=(1, 4))
    regions.contents.fp32_contents.extend([0, 0, 5, 5])
    counts = typed.inputs.add(name="region_count", datatype="INT64", shape=(1,))
    counts.contents.int64_contents.append(1)
    yield typed
    heads = sorted(path.stem for path in ROOT.glob("server/heads/kinds/*.cc"))
    assert len(heads) > 20
    for head in heads:
        yield request(head, f"{head}:l2,layer=features", f"{head}:encoding=float16")
    yield request("gem:p=3,eps=1e-6,projection=w,dimensions=8", "rmac:levels=3", "spatial_pyramid")
    yield request("max_pool:kernel_size=3x3,stride=2x2,padding=1", "class_scores:top_k=5")
    classes = request("class_scores")
    classes.outputs[0].parameters["classification"].int64_param = 3
    classes.outputs[0].parameters["binary_data"].bool_param = True
    yield classes
    shared = request("gem")
    shared.outputs[0].parameters["shared_memory_region"].string_param = "r"
    yield shared
    options = {"resize": "RESIZE_MODE_EXACT", "crop": "none", "input_height_px": 224}
    options |= {"input_width_px": 224, "background": "255,0,128", "damaged": "refuse"}
    options |= {"scales": "0.5,1,2", "flip": True, "decode": "scaled", "apply_exif": False}
    yield request(**options)
    for name, value in options.items():
        yield request(**{name: value})
    for priority in ("interactive", "bulk", 0, 1, 7, 1.5):
        yield request(priority=priority, timeout=10)
    yield request(sequence_id=3)


def rest_requests():
    from raw_http import form, request

    jpeg = "Content-Type: image/jpeg"
    path = "/v1/features"
    yield request("POST", path, b"abc", jpeg)
    yield request("POST", path + "?head=gem%3Ap%3D3,l2&model=m&crop=none", b"abc", jpeg)
    yield request("GET", "http://a/v1/models?model_version=1", None, "Expect: 100-continue")
    yield request("OPTIONS", "*", None, "Connection: close, x", "Accept: a/b;q=0.5, */*")
    yield request("POST", path, b"", "Transfer-Encoding: chunked", 'A: "b\\"')
    yield request("POST", path, None, "Transfer-Encoding: chunked") + b"3;a=b\r\nabc\r\n0\r\n\r\n"
    yield b"GET / HTTP/1.0\r\n\r\n"
    image = ("image", b"\xff\xd8\xff", 'a".jpg')
    forms = [[image], [image, image, ("head", "gem"), ("head", "spoc:l2,layer=a")], []]
    forms += [[image, ("box", "1,2,3.5,4"), ("relative", "true"), ("priority", "bulk")]]
    forms += [[image, ("background", "1,2,3"), ("scales", "0.5x1"), ("request_id", "r")]]
    forms += [[image, ("model_version", "1"), ("damaged", "refuse"), ("image", "cat.jpg")]]
    for parts in forms:
        body, content_type = form(*parts)
        yield request("POST", path, body, f"Content-Type: {content_type}")
    uri = "data:image/png;base64,YWJj"
    part = {"type": "image_url", "image_url": {"url": uri}}
    asked = [{"input": uri}, {"input": [uri, {"image": "YWJj"}], "dimensions": 8}, {"input": []}]
    asked += [{"messages": [{"role": "user", "content": [part, {"type": "text", "text": "a"}]}]}]
    asked += [{"input": "http://a/b.jpg"}, {"input": "a", "messages": []}]
    for one in asked:
        whole = one | {"model": "m/gem:p=3,l2", "encoding_format": "base64", "user": '\\"'}
        body = json.dumps(whole).encode()
        yield request("POST", "/v1/embeddings", body, "Content-Type: application/json")


def main():
    images, out = map(pathlib.Path, sys.argv[1:])
    shutil.rmtree(out, ignore_errors=True)
    seeds = pictures(images)
    files = [data for all_of in seeds.values() for data in all_of]
    seeds["jpeg_layout"] = seeds["jpeg"]
    seeds["exif"] = exif_blocks(files)
    seeds["xmp"] = xmp_packets(files)
    seeds["manifest"] = (json.dumps(one).encode() for one in manifests())
    seeds["options_file"] = (text.encode() for text in option_files())
    seeds["kserve"] = (one.SerializeToString() for one in kserve_requests())
    seeds["rest"] = rest_requests()
    for name, all_of in seeds.items():
        folder = out / name
        folder.mkdir(parents=True)
        for data in itertools.islice(all_of, 2000):
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        count = len(list(folder.iterdir()))
        assert count >= 10, f"{name} has {count} seeds"
        print(f"{name}: {count}")


if __name__ == "__main__":
    main()
