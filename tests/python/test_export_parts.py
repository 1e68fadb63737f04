"""The exporter's parts: labels, padding, signs, samples, and that the package stays light."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pixpool import samples
from pixpool.export import labels
from pixpool.export.engine import EngineModule, engine_module, load_backbone
from pixpool.export.engines import NAMES
from pixpool.export.errors import ExportError
from pixpool.export.padding import SameConv2d, SameMaxPool2d
from pixpool.export.quiet import quiet_jit
from pixpool.export.sign import non_negative_outputs


def test_imagenet_labels():
    names = labels.imagenet_labels()
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[285], names[657], names[967]) == (
        "tench",
        "Egyptian cat",
        "missile",
        "espresso",
    )
    assert names[134] == "crane (large long-necked wading bird)"


def test_imagenet_labels_without_timm(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ExportError, match="pip install --no-deps timm"):
        labels.imagenet_labels()
    with pytest.raises(FileNotFoundError, match="pip install --no-deps scikit-image"):
        samples.sample_files()


def test_samples_are_copied_and_left_alone(tmp_path):
    paths = samples.copy_samples(tmp_path)
    assert [p.name for p in paths] == ["cat.png", "coffee.png", "rocket.jpg", "astronaut.png"]
    times = [p.stat().st_mtime_ns for p in paths]
    assert [p.stat().st_mtime_ns for p in samples.copy_samples(tmp_path)] == times


@pytest.mark.parametrize("light", ["pixpool", "pixpool.samples", "pixpool.export.__main__"])
def test_imports_no_heavy_package(light):
    root = Path(labels.__file__).parents[2]
    code = f"import sys, {light}; print([m for m in ('torch', 'timm', 'PIL') if m in sys.modules])"
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.strip() == "[]"


def test_only_pca_needs_the_generated_code_of_the_api(tmp_path):
    """A model can be exported in a checkout where that code was not made."""
    root = Path(labels.__file__).parents[2]
    code = (
        "import sys; sys.modules['pixpool.v1'] = None\n"
        "from pathlib import Path\n"
        "from pixpool.export import bundle, extras\n"
        "from pixpool.export.specs import PcaSpec\n"
        "options = bundle.BundleOptions(out=Path('out'))\n"
        "extras.Extras(options)\n"
        "options.pca.append(PcaSpec('w', Path('photos')))\n"
        "try:\n    extras.Extras(options)\n"
        "except extras.ExportError as error:\n    print(error)\n"
    )
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.startswith("--pca: the generated code of the pixpool API is missing")


def same_reference(x, kernel, stride, dilation, value):
    """TensorFlow's rule, by hand: ceil(size / stride) outputs, the odd pixel at the end."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (2, 3, 1), (3, 1, 2)]
)
def test_same_padding_for_many_sizes_in_one_traced_graph(kernel, stride, dilation):
    torch.manual_seed(0)
    conv = SameConv2d(3, 4, kernel, stride=stride, dilation=dilation)
    pool = SameMaxPool2d(kernel, stride=stride, dilation=dilation)
    with torch.no_grad(), quiet_jit():
        graphs = [torch.jit.trace(m, torch.zeros(1, 3, 24, 24)) for m in (conv, pool)]
        for height in range(16, 27):
            x = torch.randn(2, 3, height, 41 - height)
            padded = same_reference(x, kernel, stride, dilation, 0.0)
            wanted = F.conv2d(padded, conv.weight, conv.bias, stride, 0, dilation)
            assert wanted.shape[2] == -(-height // stride)
            torch.testing.assert_close(graphs[0](x), wanted)
            padded = same_reference(x, kernel, stride, dilation, float("-inf"))
            torch.testing.assert_close(
                graphs[1](x), F.max_pool2d(padded, kernel, stride, 0, dilation)
            )


class Signs(nn.Module):
    def forward(self, x):
        a, b = x.relu(), F.relu6(x)
        return (
            a,
            b,
            a + b,
            a - b,
            torch.cat([a, F.max_pool2d(b, 3, 1, 1)], 1),
            torch.cat([a, x], 1),
            x.clamp(min=0.5),
            x.clamp(min=-0.5),
            F.hardswish(x),
            F.dropout(a, training=False).clone(),
            torch.add(a, b, alpha=-1),
        )


def test_signs_are_read_off_the_graph():
    with quiet_jit():
        graph = torch.jit.trace(Signs(), torch.randn(1, 2, 8, 8))
    expected = [True, True, True, False, True, False, True, False, False, True, False]
    assert non_negative_outputs(graph) == expected


def test_bundles_list_engines_in_this_order():
    assert NAMES[0] == "torchscript"  # which the others are made beside
    assert NAMES[-1] == "aotinductor"  # asked for by its own option
    assert NAMES[1:-1] == sorted(NAMES[1:-1])
    assert "openvino" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_engines_module_has_what_the_exporter_asks_of_it(name):
    module = engine_module(name)
    for function in ("write", "load"):
        wanted = inspect.signature(getattr(EngineModule, function)).parameters
        assert len(inspect.signature(getattr(module, function)).parameters) == len(wanted) - 1


@pytest.mark.parametrize("name", ["aotinductor", "abacus"])
def test_engines_that_the_exporter_does_not_run(tmp_path, name):
    entry = {"engine": name, "precision": "float32", "path": "backbone.x"}
    with pytest.raises(ExportError, match=f"x: the exporter does not run the engine {name}$"):
        load_backbone(tmp_path, entry, 1)
