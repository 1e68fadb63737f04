"""PyTorch's own samples of its 2-D pooling operators, as heads of this API.

The samples come with torch (torch.testing._internal: the OpInfo and ModuleInfo databases that
PyTorch's test suite runs on). An unbatched sample goes as a batch of one; None in an adaptive size
means the input's own size.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F

# Parameters of each operator after the input, in torch's order.
PARAMETERS = {
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": (
        "kernel_size",
        "stride",
        "padding",
        "ceil_mode",
        "count_include_pad",
        "divisor_override",
    ),
    "adaptive_avg_pool2d": ("output_size",),
    "adaptive_max_pool2d": ("output_size", "return_indices"),
    "max_unpool2d": ("indices", "kernel_size", "stride", "padding", "output_size"),
}
HEADS = {
    "max_pool2d": "max_pool",
    "avg_pool2d": "avg_pool",
    "adaptive_avg_pool2d": "adaptive_avg",
    "adaptive_max_pool2d": "adaptive_max",
    "max_unpool2d": "max_unpool",
}
MODULES = {
    "MaxPool2d": "max_pool2d",
    "AvgPool2d": "avg_pool2d",
    "AdaptiveAvgPool2d": "adaptive_avg_pool2d",
    "AdaptiveMaxPool2d": "adaptive_max_pool2d",
}


@dataclass(frozen=True)
class Call:
    """One call of an operator of torch.nn.functional."""

    op: str
    input: torch.Tensor
    parameters: dict[str, object]

    def in_torch(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Values and indices that torch gives, batched."""
        out = getattr(F, self.op)(self.input, **self.parameters)
        values, indices = out if isinstance(out, tuple) else (out, None)
        if self.input.dim() == 3:
            values, indices = values[None], indices[None] if indices is not None else None
        return values, indices

    @property
    def maps(self) -> torch.Tensor:
        return self.input[None] if self.input.dim() == 3 else self.input

    @property
    def indices(self) -> torch.Tensor | None:
        """The indices that the call brings: max_unpool2d's."""
        return self.parameters.get("indices")

    @property
    def head(self) -> str:
        """The same as a head in the short form of Client.head."""
        parts = []
        for name, value in self.parameters.items():
            if name == "indices" or value is None or (isinstance(value, tuple) and not value):
                continue  # () is "not given", as a stride
            if isinstance(value, bool):
                value = str(value).lower()
            elif isinstance(value, (tuple, list)):
                if name == "output_size":
                    own = self.input.shape[-2:]
                    value = [
                        own[i] if side is None else side for i, side in enumerate(tuple(value)[-2:])
                    ]
                value = "x".join(map(str, value))
            parts.append(f"{name}={value}")
        return f"{HEADS[self.op]}:{','.join(parts)}"

    def __str__(self) -> str:
        return f"{self.head} on {list(self.input.shape)}"


def _call(op: str, tensor: torch.Tensor, args, kwargs) -> Call:
    return Call(op, tensor, {**dict(zip(PARAMETERS[op], args, strict=False)), **kwargs})


@cache
def pooling_ops() -> tuple:
    """The OpInfos of everything that pools, in any number of dimensions."""
    from torch.testing._internal.common_methods_invocations import op_db

    return tuple(op for op in op_db if op.name.startswith("nn.functional.") and "pool" in op.name)


@cache
def pooling_modules() -> tuple:
    """The ModuleInfos of everything that pools."""
    from torch.testing._internal.common_modules import module_db

    return tuple(m for m in module_db if "Pool" in m.module_cls.__name__)


def short_name(op) -> str:
    return op.name.removeprefix("nn.functional.")


def samples(op) -> list:
    """Sample inputs of an OpInfo; the same at every call."""
    torch.manual_seed(20)
    return list(op.sample_inputs_func(op, "cpu", torch.float32, False))


def op_calls(name: str, variant: str = "") -> list[Call]:
    """The samples of one operator."""
    (op,) = (o for o in pooling_ops() if short_name(o) == name and o.variant_test_name == variant)
    return [_call(name, s.input, s.args, s.kwargs) for s in samples(op)]


def op_errors(name: str) -> Iterator[tuple[Call, str]]:
    """Calls that torch refuses, with the regular expression of its message."""
    (op,) = (o for o in pooling_ops() if short_name(o) == name and not o.variant_test_name)
    torch.manual_seed(20)
    for error in op.error_inputs_func(op, "cpu"):
        sample = error.sample_input
        yield _call(name, sample.input, sample.args, sample.kwargs), error.error_regex


def module_inputs(module, errors: bool = False) -> list:
    """Module inputs, or error inputs, of a ModuleInfo."""
    make = module.module_error_inputs_func if errors else module.module_inputs_func
    torch.manual_seed(20)
    if make is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(
            make(module, device="cpu", dtype=torch.float32, requires_grad=False, training=False)
        )


def _module_call(module, item) -> Call:
    made, (tensor,) = item.constructor_input, item.forward_input.args
    op = MODULES[module.module_cls.__name__]
    if op == "max_pool2d":  # the module has return_indices before ceil_mode
        assert len(made.args) <= 4
    return _call(op, tensor, made.args, made.kwargs)


def module_calls(name: str) -> list[Call]:
    """The inputs of one module."""
    (module,) = (m for m in pooling_modules() if m.module_cls.__name__ == name)
    return [_module_call(module, item) for item in module_inputs(module)]


def module_errors(name: str) -> Iterator[tuple[Call, str]]:
    (module,) = (m for m in pooling_modules() if m.module_cls.__name__ == name)
    for error in module_inputs(module, errors=True):
        yield _module_call(module, error.module_error_input), error.error_regex


def left_out_reason(name: str) -> str:
    """Why a pooling operator or module cannot be expressed; empty if it can."""
    lower = name.lower()
    if "1d" in lower or "3d" in lower:
        return "not 2-D: a feature map here is [C, H, W]"
    if "fractional" in lower:
        return (
            "fractional max pooling draws its windows at random, which a feature must not do; "
            "there is no such head"
        )
    if lower.startswith(("lp_pool", "lppool")):
        return "windowed Lp pooling: the head lp pools the whole map"
    return ""
