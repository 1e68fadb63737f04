"""TensorFlow's SAME padding, made to follow the input size in a traced graph.

Packages that carry over TensorFlow weights compute SAME padding either once, for one input size,
or in Python, where a trace would freeze it. The modules below compute it inside the graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixpool.export.quiet import quiet_jit


def _pad_same(
    x: Tensor, kernel: list[int], stride: list[int], dilation: list[int], value: float
) -> Tensor:
    height = x.size(2)
    width = x.size(3)
    pad_h = ((height + stride[0] - 1) // stride[0] - 1) * stride[0] - height
    pad_h = max(pad_h + (kernel[0] - 1) * dilation[0] + 1, 0)
    pad_w = ((width + stride[1] - 1) // stride[1] - 1) * stride[1] - width
    pad_w = max(pad_w + (kernel[1] - 1) * dilation[1] + 1, 0)
    if pad_h > 0 or pad_w > 0:
        x = F.pad(
            x,
            [pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2],
            "constant",
            value,
        )
    return x


with quiet_jit():
    # Scripted, so that a trace keeps the arithmetic and the branch instead of their outcome.
    pad_same = torch.jit.script(_pad_same)


def _pad_symbolic(
    x: Tensor, kernel: list[int], stride: list[int], dilation: list[int], value: float, exact: bool
) -> Tensor:
    """pad_same for torch.export, whose sizes are symbols: no branch on them. `exact` says that they
    are multiples of the stride, and the padding therefore the same for all."""
    pads: list[int] = []
    for axis in (1, 0):
        step, extent, size = stride[axis], (kernel[axis] - 1) * dilation[axis] + 1, x.size(2 + axis)
        if exact or extent == 1:
            total = max(extent - step, 0)
        else:
            total = ((size + step - 1) // step - 1) * step + extent - size
            if extent < step:
                total = torch.sym_max(total, 0)  # type: ignore[no-untyped-call]
        pads += [total // 2, total - total // 2]
    # A comparison of a symbol would be a condition on sizes.
    if all(isinstance(pad, int) and pad == 0 for pad in pads):
        return x
    return F.pad(x, pads, "constant", value)


class _SameLayer:
    """What the layers with SAME padding have in common: how they pad at the moment."""

    # None: as a trace keeps it; else as torch.export does, and whether sizes are multiples.
    exact: bool | None = None

    def pad(
        self, x: Tensor, kernel: list[int], stride: list[int], dilation: list[int], value: float
    ) -> Tensor:
        if self.exact is None:
            padded: Tensor = pad_same(x, kernel, stride, dilation, value)
            return padded
        return _pad_symbolic(x, kernel, stride, dilation, value, self.exact)


class SameConv2d(_SameLayer, nn.Conv2d):
    """Convolution with SAME padding computed from the size of its input."""

    # Zeros on each side in place of SAME padding, see marked_same_convolutions.
    marker = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.marker:
            pad = self.marker
            return F.conv2d(x, self.weight, self.bias, self.stride, pad, self.dilation, self.groups)
        x = self.pad(x, list(self.kernel_size), list(self.stride), list(self.dilation), 0.0)
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


@contextlib.contextmanager
def marked_same_convolutions(module: nn.Module, marker: int) -> Iterator[int]:
    """Within, the SameConv2d of `module` pad with `marker` zeros on each side: for a converter that
    has a SAME padding of its own and finds them by it. Gives their number."""
    found = [m for m in module.modules() if isinstance(m, SameConv2d)]
    for convolution in found:
        convolution.marker = marker
    try:
        yield len(found)
    finally:
        for convolution in found:
            convolution.marker = 0


@contextlib.contextmanager
def exported_same_padding(module: nn.Module, exact: bool) -> Iterator[None]:
    """Within, the SAME-padded layers of `module` pad as torch.export can follow; `exact`: each gets
    input whose sides are multiples of its stride."""
    found = same_layers(module)
    for layer in found:
        layer.exact = exact
    try:
        yield
    finally:
        for layer in found:
            layer.exact = None


def same_layers(module: nn.Module) -> list[SameConv2d | SameMaxPool2d]:
    return [m for m in module.modules() if isinstance(m, (SameConv2d, SameMaxPool2d))]


class SameMaxPool2d(_SameLayer, nn.MaxPool2d):
    """Max pooling with SAME padding computed from the size of its input."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride, dilation = (
            _pair(v) for v in (self.kernel_size, self.stride, self.dilation)
        )
        x = self.pad(x, kernel, stride, dilation, float("-inf"))
        return F.max_pool2d(x, kernel, stride, 0, dilation, self.ceil_mode)


# Classes by name, so that nothing need be installed to look for them: efficientnet_lite_pytorch
# and efficientnet_pytorch (first two), timm (last). A subclass is left alone, since its forward
# may do more; where that matters the check of the traced graph at other sizes finds it.
_CONVOLUTIONS = ("Conv2dStaticSamePadding", "Conv2dDynamicSamePadding", "Conv2dSame")
_MAX_POOLS = ("MaxPool2dStaticSamePadding", "MaxPool2dDynamicSamePadding", "MaxPool2dSame")


def follow_input_size(module: nn.Module) -> int:
    """Replaces SAME-padded layers of `module` in place; names and weights stay. Gives the count."""
    count = 0
    for name, child in module.named_children():
        kind = type(child).__name__
        if kind in _CONVOLUTIONS and isinstance(child, nn.Conv2d):
            setattr(module, name, _convert_convolution(child))
            count += 1
        elif kind in _MAX_POOLS and isinstance(child, nn.MaxPool2d):
            setattr(module, name, _convert_max_pool(child))
            count += 1
        else:
            count += follow_input_size(child)
    return count


def _convert_convolution(source: nn.Conv2d) -> nn.Conv2d:
    stride, dilation = _pair(source.stride), _pair(source.dilation)
    extent = [d * (k - 1) for k, d in zip(source.kernel_size, dilation, strict=True)]
    # With stride 1 and an even sum the padding is the same on both sides and for every input
    # size: the convolution does it itself, without a copy.
    fixed = stride == [1, 1] and all(e % 2 == 0 for e in extent)
    converted = (nn.Conv2d if fixed else SameConv2d)(
        source.in_channels,
        source.out_channels,
        (source.kernel_size[0], source.kernel_size[1]),
        stride=(stride[0], stride[1]),
        padding=(extent[0] // 2, extent[1] // 2) if fixed else 0,
        dilation=(dilation[0], dilation[1]),
        groups=source.groups,
        bias=source.bias is not None,
        device="meta",
    )
    converted.weight = source.weight
    converted.bias = source.bias
    return converted.train(source.training)


def _convert_max_pool(source: nn.MaxPool2d) -> nn.MaxPool2d:
    converted = SameMaxPool2d(
        tuple(_pair(source.kernel_size)),
        stride=tuple(_pair(source.stride)),
        dilation=tuple(_pair(source.dilation)),
        ceil_mode=source.ceil_mode,
    )
    return converted.train(source.training)


def _pair(value: int | tuple[int, ...] | list[int]) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return [int(v) for v in (values * 2 if len(values) == 1 else values)]
