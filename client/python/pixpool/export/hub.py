"""Models in a folder as Hugging Face's transformers saves them: config.json,
preprocessor_config.json and the weights. Nothing is ever downloaded."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from pixpool.export.errors import ExportError, brief
from pixpool.export.hub_recipe import hub_recipe
from pixpool.export.names import HUB_KIND
from pixpool.export.packages import import_package, package_version
from pixpool.export.recipe import Recipe
from pixpool.export.source import SourceModel
from pixpool.export.trunk import run_model

# What the names of the package's classes begin with, by the `model_type` of config.json.
_PREFIXES = {
    "vit": "ViT",
    "dinov2": "Dinov2",
    "dinov2_with_registers": "Dinov2WithRegisters",
    "dinov3_vit": "DINOv3ViT",
    "clip": "CLIP",
    "clip_vision_model": "CLIP",
    "siglip": "Siglip",
    "siglip_vision_model": "Siglip",
    "resnet": "ResNet",
    "convnext": "ConvNext",
    "convnextv2": "ConvNextV2",
}
_CLASSIFIER = "ForImageClassification"
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_MOST_LISTED = 8
# The hub writes licences in small letters.
_LICENSES = {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-nc-4.0": "CC-BY-NC-4.0"}


@dataclasses.dataclass(frozen=True)
class _Kind:
    """Which class of the package makes the model, and which part of its output is the answer."""

    name: str
    # Of the output; `class_token` is that of last_hidden_state, where the file has no pooler.
    answer: str


def load_hub(place: str, pretrained: bool, args: dict[str, Any]) -> SourceModel:
    """The model of a folder, with its weights or, not `pretrained`, with random ones. `args` take
    the place of what config.json says. Refuses (ExportError) what the folder lacks, models of other
    kinds and recipes that the server cannot do."""
    folder = _folder(place)
    fields = _read_json(folder / "config.json", "which says what the model is")
    kind = _kind(fields, folder)
    package = import_package("transformers", "transformers", f"{HUB_KIND}:{place}")
    made_by = getattr(package, kind.name, None)
    if made_by is None:
        raise ExportError(
            f"{package_version('transformers')} has no {kind.name}, which {folder} needs: pip"
            " install --upgrade transformers"
        )
    package.utils.logging.set_verbosity_error()
    package.utils.logging.disable_progress_bar()
    config = _config(made_by, folder, fields, args)
    own = _own_size(config)
    recipe = read_recipe(package, folder, own)
    # At another size than its own the authors' call needs this too.
    resized = (recipe.height, recipe.width) != own
    origin = f"{package_version('transformers')} {kind.name} of {folder}"
    if pretrained:
        module, kind, remark = _load(made_by, kind, config, folder, resized)
        origin += remark
    else:
        module = _answering(made_by(config), kind, resized)
    classes = kind.answer == "logits"
    source = SourceModel(
        module=module,
        name=folder.name,
        origin=origin,
        recipe=recipe,
        license=_license(folder),
        labels=_labels(config) if classes else None,
        takes_class_count=classes,
        embed=None if classes else run_model,
        layer_names=_parts(module, config),
    )
    if hasattr(config, "depths"):
        source.layer_hints = list(source.layer_names)
    elif not resized and _interpolates(made_by):
        more = {"add_pooling_layer": False} if kind.answer == "class_token" else {}
        source.for_any_size = lambda: _answering(made_by(config, **more), kind, True)
    return source


def _folder(place: str) -> Path:
    folder = Path(place)
    if folder.is_dir():
        return folder
    hub = ""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", place):
        hub = (
            ", and the exporter downloads nothing from the hub: fetch it with hf download"
            f" {place} --local-dir FOLDER"
        )
    raise ExportError(f"there is no folder '{place}'{hub}")


def _read_json(path: Path, what: str) -> dict[str, Any]:
    if not path.is_file():
        raise ExportError(f"{path.parent} has no {path.name}, {what}")
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be read: {brief(error)}") from error
    if not isinstance(read, dict):
        raise ExportError(f"{path} is no JSON object")
    return read


def _kind(fields: dict[str, Any], folder: Path) -> _Kind:
    kind, names = str(fields.get("model_type")), fields.get("architectures") or []
    prefix = _PREFIXES.get(kind)
    if prefix is None:
        raise ExportError(
            f"{folder / 'config.json'}: model_type is '{kind}'"
            f"{f' ({names[0]})' if names else ''}; the exporter knows {', '.join(_PREFIXES)}. Of"
            " another a factory of your own gives the torch.nn.Module: module:package:factory"
        )
    if f"{prefix}{_CLASSIFIER}" in names:
        return _Kind(f"{prefix}{_CLASSIFIER}", "logits")
    if prefix == "CLIP" and "CLIPVisionModel" not in names:
        return _Kind("CLIPVisionModelWithProjection", "image_embeds")
    return _Kind(
        f"{prefix}{'Vision' if prefix in ('CLIP', 'Siglip') else ''}Model", "pooler_output"
    )


def _config(made_by: Any, folder: Path, fields: dict[str, Any], args: dict[str, Any]) -> Any:
    if "quantization_config" in fields:
        raise ExportError(
            f"{folder / 'config.json'}: the weights are quantised (quantization_config), which only"
            " their own kernels compute with; take the folder of the float weights"
        )
    given = {("num_labels" if name == "num_classes" else name): args[name] for name in args}
    # Of a pair of towers the image tower's configuration does not have it, or has another.
    if fields.get("model_type") == "clip" and "projection_dim" in fields:
        given = {"projection_dim": fields["projection_dim"], **given}
    try:
        config, unknown = made_by.config_class.from_pretrained(
            str(folder), local_files_only=True, return_unused_kwargs=True, **given
        )
    except Exception as error:
        raise ExportError(f"transformers cannot read {folder}: {brief(error)}") from error
    unknown = [name for name in unknown if name in given]
    if unknown:
        raise ExportError(f"--model-args: {made_by.__name__} has no {', '.join(unknown)}")
    tower = getattr(config, "vision_config", config)
    channels = getattr(tower, "num_channels", 3)
    if channels != 3:
        raise ExportError(
            f"the model takes pictures of {channels} channel{'s' * (channels != 1)}; a bundle's"
            " network takes three: red, green and blue"
        )
    return config


def _own_size(config: Any) -> tuple[int, int]:
    """Height and width of the pictures that the model is made for."""
    size = getattr(getattr(config, "vision_config", config), "image_size", 224)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return int(height), int(width)


def read_recipe(package: ModuleType, folder: Path, own: tuple[int, int]) -> Recipe:
    """Read off the preprocessor's file; where a processor of pictures and texts was saved, off its
    part for pictures."""
    path = folder / "preprocessor_config.json"
    both = folder / "processor_config.json"
    fields = None
    if not path.is_file() and both.is_file():
        path, fields = both, _read_json(both, "").get("image_processor")
    if fields is None:
        fields = _read_json(
            folder / "preprocessor_config.json",
            "which says how pictures are resized and normalised: it belongs to the model, and"
            " image_processor.save_pretrained(FOLDER) writes it",
        )
    named = str(fields.get("image_processor_type") or fields.get("feature_extractor_type") or "")
    kind = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", named)
    defaults: dict[str, Any] = {}
    for suffix in ("ImageProcessorPil", "ImageProcessor"):
        by_default = getattr(package, kind + suffix, None) if kind else None
        if by_default is not None and not defaults:
            names = [n for n in dir(by_default) if not n.startswith("_")]
            plain = {n: inspect.getattr_static(by_default, n) for n in names}
            defaults = {n: v for n, v in plain.items() if not callable(v)}
    said = {name: value for name, value in fields.items() if value is not None}
    return hub_recipe({**defaults, **said}, kind, own, str(path))


def _answering(module: nn.Module, kind: _Kind, interpolates: bool) -> nn.Module:
    """The model itself, from now on of a class whose forward gives the answer alone, as a tensor.
    Not made of that class, since the package loads no weights of older versions into classes that
    it does not know."""
    made_by: Any = type(module)
    config: Any = module.config
    always = {"interpolate_pos_encoding": True} if interpolates and _interpolates(made_by) else {}

    def forward(self: nn.Module, pixel_values: Tensor) -> Any:
        output = made_by.forward(self, pixel_values, **always)
        if kind.answer == "class_token":
            return output.last_hidden_state[:, 0]
        return getattr(output, kind.answer)

    own: dict[str, Any] = {"forward": forward}
    if not hasattr(config, "depths"):
        own["has_class_token"] = not made_by.__name__.startswith("Siglip")
        registers = getattr(config, "num_register_tokens", 0)
        own["num_prefix_tokens"] = own["has_class_token"] + registers
    module.__class__ = type(made_by.__name__, (made_by,), own)
    return module


def _interpolates(made_by: Any) -> bool:
    return "interpolate_pos_encoding" in inspect.signature(made_by.forward).parameters


def _load(
    made_by: Any, kind: _Kind, config: Any, folder: Path, resized: bool
) -> tuple[nn.Module, _Kind, str]:
    """The model with its weights, its kind, and what is to be said of the file. A file without the
    weights of a pooler gives the class token, which the pooler would have taken."""
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise ExportError(
            f"{folder} has no {_WEIGHTS[0]} (nor {', '.join(_WEIGHTS[1:])}), which holds the"
            " weights; --weights FILE takes them from elsewhere, --random-weights does without"
        )
    module, missing, others = _read_weights(made_by, kind, config, folder, resized)
    remark = ""
    has_pooler = "add_pooling_layer" in inspect.signature(made_by.__init__).parameters
    if missing and has_pooler and all("pooler." in name for name in missing):
        kind = _Kind(kind.name, "class_token")
        module, missing, others = _read_weights(
            made_by, kind, config, folder, resized, add_pooling_layer=False
        )
        remark = " (no pooler in the file: the embedding is the class token)"
    if missing:
        raise ExportError(
            f"{folder} does not have all weights of {kind.name}: {len(missing)} are missing:"
            f" {_listed(missing)}"
        )
    if others:
        remark += f" ({len(others)} other weights left out, such as {others[0]})"
    return module, kind, remark


def _read_weights(
    made_by: Any, kind: _Kind, config: Any, folder: Path, resized: bool, **more: Any
) -> tuple[nn.Module, list[str], list[str]]:
    """The model, and the names that the file lacks and has beside."""
    import torch

    try:
        module, info = made_by.from_pretrained(
            str(folder),
            config=config,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # said below
            dtype=torch.float32,
            **more,
        )
    except Exception as error:
        raise ExportError(f"transformers cannot load {folder}: {brief(error)}") from error
    shapes = [f"{n} {list(held)} for {list(own)}" for n, held, own in info["mismatched_keys"]]
    if shapes:
        raise ExportError(
            f"the weights of {folder} do not fit its config.json: {len(shapes)} of another shape in"
            f" the file: {_listed(shapes)}"
        )
    # Older files do not count batches, which inference has no use for.
    missing = [n for n in info["missing_keys"] if not n.endswith(".num_batches_tracked")]
    answering = _answering(module, kind, resized)
    return answering, sorted(missing), sorted(info["unexpected_keys"])


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(sorted(names)[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _parts(module: nn.Module, config: Any) -> dict[str, str]:
    """Blocks, or the stages of a convolutional network: their names by the paths of their
    modules."""
    tower = getattr(config, "vision_config", config)
    depths = getattr(tower, "depths", None)
    count = len(depths) if depths else tower.num_hidden_layers
    name = "stages" if depths else "blocks"
    for path, part in module.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return {f"{path}.{at}": f"{name}_{at}" for at in range(count)}
    return {}


def _labels(config: Any) -> list[str] | None:
    """None where nobody has named the classes."""
    names = [str(name) for _, name in sorted(config.id2label.items())]
    return None if any(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def _license(folder: Path) -> str:
    """What the head of the model card says."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license: *([\w.-]+) *$", head[1], re.MULTILINE) if head else None
    return _LICENSES.get(found[1], found[1]) if found else "unknown"
