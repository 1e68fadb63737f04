"""Receptive fields of the default model's layers, for docs/heads.md.

    PYTHONPATH=client/python python docs/figures/receptive_field.py

In theory: r grows by (kernel - 1) * step at every convolution, and step by its stride; shortcuts
and 1 x 1 convolutions add nothing. In fact: the gradient of a middle cell (summed over channels)
by the pixels, its size summed over rows and colours and averaged over the sample photographs;
"half" and "90 %" are the narrowest windows of columns that hold this much of it. Prints a Markdown
table.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from live import samples
from pixpool.export.models import load_model
from pixpool.export.names import DEFAULT_MODEL
from pixpool.export.padding import follow_input_size
from pixpool.export.trunk import Trunk

SIDE = 640  # of the network's input, pixels


def theory(model: nn.Module, trunk: Trunk, names: list[tuple[str, str, int]]) -> dict:
    """Layer name -> (receptive field, stride), from the convolutions in the order of their calls.

    names: (layer, path of its module, number of the call or -1 for the only one).
    """
    field, step, found = 1, 1, {}
    calls: dict[str, int] = {}
    handles = []

    def convolution(module: nn.Conv2d, *_: object) -> None:
        nonlocal field, step
        field += (module.kernel_size[0] - 1) * step
        step *= module.stride[0]

    def output(path: str) -> None:
        number = calls[path] = calls.get(path, -1) + 1
        for name, wanted, call in names:
            if wanted == path and call in (-1, number):
                found[name] = (field, step)

    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(convolution))
        if any(path == wanted for _, wanted, _ in names):
            handles.append(module.register_forward_hook(lambda *_, path=path: output(path)))
    with torch.no_grad():
        trunk(torch.zeros(1, 64, 64, 3))
    for handle in handles:
        handle.remove()
    return found


def narrowest(columns: np.ndarray, share: float) -> int:
    """Width of the narrowest window that holds a share of the sum."""
    sums = np.concatenate([[0], columns.cumsum()])
    starts = np.arange(len(columns))
    ends = np.searchsorted(sums, sums[:-1] + share * sums[-1])
    return int(min((e - s for s, e in zip(starts, ends, strict=True) if e <= len(columns))))


def gradients(trunk: Trunk) -> list[np.ndarray]:
    """For each layer the gradient's size by column, averaged over the photographs."""
    total: list[np.ndarray] = []
    for photo in samples().values():
        pixels = torch.from_numpy(np.asarray(photo.resize((SIDE, SIDE)), np.float32))[None]
        pixels.requires_grad_()
        maps = trunk(pixels)
        for k, x in enumerate(maps):
            cell = x[0, :, x.shape[2] // 2, x.shape[3] // 2].sum()
            (slope,) = torch.autograd.grad(cell, pixels, retain_graph=True)
            columns = np.float64(slope[0].abs().sum((0, 2)))
            columns /= columns.sum()
            if k == len(total):
                total.append(columns)
            else:
                total[k] += columns
    return total


def main() -> None:
    source = load_model(DEFAULT_MODEL)
    follow_input_size(source.module)
    trunk = Trunk(source.module, source.layers, source.recipe)
    trunk.prepare(torch.zeros(1, 64, 64, 3))
    names = [(layer.name, layer.path, layer.call) for layer in source.layers]
    fields = theory(source.module, trunk, names)
    print("| layer | stride | cells at 224 | receptive field | half of it in | 90 % in |")
    print("|---|---|---|---|---|---|")
    for layer, columns in zip(source.layers, gradients(trunk), strict=True):
        field, step = fields[layer.name]
        half, most = narrowest(columns, 0.5), narrowest(columns, 0.9)
        print(f"| `{layer.name}` | {step} | {224 // step} | {field} | {half} | {most} |")


if __name__ == "__main__":
    main()
