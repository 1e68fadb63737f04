"""The engine aotinductor: graphs for torch.export, folded pads, packages with PyTorch's maps."""

import json
import re
import zipfile

import pytest
import torch
import torch._inductor.config
from torch import nn

from pixpool.export.__main__ import main
from pixpool.export.aotinductor import AotInductorGraph, write_packages
from pixpool.export.bundle import BundleOptions, write_bundle
from pixpool.export.errors import ExportError
from pixpool.export.fold_pads import fold_pads
from pixpool.export.padding import SameConv2d, SameMaxPool2d, exported_same_padding
from test_export import SameNet, load_graph, random_images, tiny_source

ONE, WIDE, SIX = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(8, 6, 3, 2), nn.Conv2d(6, 6, 5, 2, groups=6)


@pytest.mark.parametrize(
    ("pads", "value", "convolution", "left"),
    [
        ((1, 1, 1, 1), 0.0, ONE, 0),  # the convolution's own padding
        ((1, 1, 2, 2), 0.0, WIDE, 0),
        ((0, 1, 0, 1), 0.0, ONE, 0),  # a kernel that grows in front
        ((1, 2, 1, 2), 0.0, SIX, 0),
        ((3, 1, 0, 2), 0.0, SIX, 0),  # behind and in front
        ((2, 1, 2, 1), 0.0, nn.Conv2d(3, 6, 3, 2, padding=1), 0),
        ((0, 4, 4, 0), 0.0, nn.Conv2d(3, 6, 3, 1, dilation=2), 0),
        ((0, 1, 0, 1), 0.0, nn.Conv2d(3, 6, 3, 1, dilation=2), 1),  # no whole step of the kernel
        ((0, 1, 0, 1), 0.0, WIDE, 1),  # a grown kernel of many channels costs more than the pad
        ((1, 1, 1, 1), 0.5, ONE, 1),
        ((-1, 1, 1, 1), 0.0, ONE, 1),
    ],
)
def test_pads_become_part_of_convolutions(pads, value, convolution, left):
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = convolution

        def forward(self, x):
            return self.convolution(nn.functional.pad(x, pads, value=value))

    x = torch.randn(2, convolution.in_channels, 17, 22)
    program = torch.export.export(Padded(), (x,))
    assert fold_pads(program.graph) == 1 - left
    program.graph_module.recompile()
    on_input = [
        n
        for n in program.graph.nodes
        if n.target is torch.ops.aten.pad.default and n.args[0].name == "x"
    ]
    assert len(on_input) == left
    torch.testing.assert_close(program.module()(x), Padded()(x))


def test_a_pad_that_others_read_stays():
    class Shared(nn.Module):
        def forward(self, x, weight):
            padded = nn.functional.pad(x, (1, 1, 1, 1))
            return nn.functional.conv2d(padded, weight), padded

    arguments = torch.randn(1, 3, 9, 9), torch.randn(4, 3, 3, 3)
    program = torch.export.export(Shared(), arguments)
    assert fold_pads(program.graph) == 0


@pytest.mark.parametrize("size", [(32, 64), (33, 47), (17, 18)])
@pytest.mark.parametrize(
    "layer",
    [
        SameConv2d(4, 4, 3, stride=2),
        SameConv2d(4, 4, 1, stride=2),
        SameConv2d(4, 4, 2, stride=3),
        SameConv2d(4, 4, 5, stride=2, dilation=2),
        SameMaxPool2d(3, stride=2),
    ],
)
def test_padding_for_export_is_the_padding_of_the_trace(layer, size):
    x = torch.randn(1, 4, *size)
    wanted = layer(x)
    with exported_same_padding(layer, exact=False):
        torch.testing.assert_close(layer(x), wanted)
    stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]
    if all(side % stride == 0 for side in size):
        with exported_same_padding(layer, exact=True):
            torch.testing.assert_close(layer(x), wanted)
    assert layer.exact is None


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    lines = []
    options = BundleOptions(out=tmp_path_factory.mktemp("models"), aotinductor="cpu")
    folder = write_bundle(tiny_source(SameNet()), options, lines.append)
    return folder, json.loads((folder / "manifest.json").read_text()), lines


def test_manifest_says_what_packages_are_for(compiled):
    folder, manifest, lines = compiled
    entry = manifest["engines"][-1]
    assert entry == {
        "engine": "aotinductor",
        "precision": "float32",
        "path": "backbone.cpu.pt2",
        "device": "cpu",
        "instruction_set": "x86-64-v3",
        "min_side": 16,
        "aligned": {"path": "backbone.cpu.aligned.pt2", "multiple": 4},
    }
    listed = {file["path"] for file in manifest["files"]}
    assert {"backbone.cpu.pt2", "backbone.cpu.aligned.pt2"} <= listed
    assert any(line.startswith("check aotinductor 3 x 131 x 97: cosine 1.0") for line in lines)


@pytest.mark.parametrize("size", [(1, 32, 32), (1, 33, 47), (2, 16, 16), (3, 65, 50), (5, 64, 48)])
def test_packages_equal_pytorch(compiled, size):
    folder, manifest, _ = compiled
    images = random_images(*size)
    got = AotInductorGraph(folder, manifest["engines"][-1])(images)
    wanted = load_graph(folder)(images)
    assert len(got) == len(wanted) == len(manifest["layers"])
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_aligned_package_has_no_pad_left(compiled):
    folder, _, _ = compiled
    found = {}
    for name in ("backbone.cpu.pt2", "backbone.cpu.aligned.pt2"):
        with zipfile.ZipFile(folder / name) as package:
            code = [n for n in package.namelist() if n.endswith(".cpp")]
            found[name] = any(re.search(rb"cpp_fused\w*_pad", package.read(n)) for n in code)
    assert found == {"backbone.cpu.pt2": True, "backbone.cpu.aligned.pt2": False}


def test_packages_are_for_the_instruction_set_that_the_manifest_names(compiled):
    folder, _, _ = compiled
    with zipfile.ZipFile(folder / "backbone.cpu.pt2") as package:
        notes = [n for n in package.namelist() if n.endswith("_metadata.json")]
        library = next(n for n in package.namelist() if n.endswith(".so"))
        assert json.loads(package.read(notes[0]))["AOTI_CPU_ISA"] == "AVX2"
        # libtorch is the server's, wherever that lies.
        assert b"libtorch" not in package.read(library)


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ExportError, match="engine aotinductor: this PyTorch sees no CUDA device"):
        write_bundle(tiny_source(), BundleOptions(out=tmp_path, aotinductor="cuda"))
    assert list(tmp_path.iterdir()) == []


def test_cuda_packages_equal_pytorch(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    options = BundleOptions(out=tmp_path, aotinductor="cuda")
    folder = write_bundle(tiny_source(SameNet()), options)  # which compares them
    entry = json.loads((folder / "manifest.json").read_text())["engines"][-1]
    assert entry["device"] == "cuda" and "instruction_set" not in entry


def test_without_a_compiler_the_reason_is_said(tmp_path):
    with (
        torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}),
        pytest.raises(ExportError, match="needs a C\\+\\+ compiler: there is no no-such-compiler"),
    ):
        write_packages(None, tmp_path, "cpu")


def test_a_bundle_that_is_there_is_not_compiled(compiled, capsys):
    folder, _, _ = compiled
    assert main([f"bundle:{folder}", "--aotinductor", "cpu", "--pca", "x=y"]) == 1
    assert "the network stays as it is" in capsys.readouterr().err
