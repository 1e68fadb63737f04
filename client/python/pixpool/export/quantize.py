"""Int8 by post-training quantisation (NNCF), as fast as the promised fidelity allows.

Quantising every layer hurts small networks: depthwise convolutions and the first layers have few
values per channel and large ranges. So layers are left in float32 step by step, each step is
measured on pictures that calibration has not seen, and the fastest step that keeps the promise is
written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from pixpool._extras import how_to_install
from pixpool.export.errors import ExportError
from pixpool.export.manifest import Body, EngineEntry, StepEntry
from pixpool.export.openvino_graph import FLOAT32, openvino_package, save
from pixpool.export.options import Progress
from pixpool.export.preprocess import load_image, preprocess
from pixpool.export.projection import list_pictures
from pixpool.export.recipe import Recipe

# What vectors of the default layer's average keep, against float32 on pictures not used for
# calibration.
MIN_COSINE_MEDIAN = 0.99
MIN_COSINE_P5 = 0.97
MIN_TOP1 = 0.95
MIN_PICTURES = 30
MAX_PICTURES = 600
_HOLD_OUT = 3  # one of so many
# How far the golden picture's cosine on the server may lie below the one measured here: another
# processor rounds differently, but one without VNNI may saturate, which this finds.
GOLDEN_SLACK = 0.003


class _Top1(TypedDict, total=False):
    top1_agreement: float


@dataclasses.dataclass(frozen=True)
class Step:
    """A way to quantise, and what it gave."""

    float_layers: str
    names: list[str]
    cosine_median: float = 0.0
    cosine_p5: float = 0.0
    top1_agreement: float | None = None
    speedup: float = 0.0

    def good(self) -> bool:
        return (
            self.cosine_median >= MIN_COSINE_MEDIAN
            and self.cosine_p5 >= MIN_COSINE_P5
            and (self.top1_agreement is None or self.top1_agreement >= MIN_TOP1)
        )

    def entry(self) -> StepEntry:
        entry: StepEntry = {
            "float_layers": self.float_layers,
            "cosine_median": round(self.cosine_median, 4),
            "cosine_p5": round(self.cosine_p5, 4),
            **self._top1(),
            "speedup": round(self.speedup, 4),
        }
        return entry

    def _top1(self) -> _Top1:
        return (
            {} if self.top1_agreement is None else {"top1_agreement": round(self.top1_agreement, 4)}
        )


class Pictures:
    """The pictures of a folder as network input, split the same way each time, or of one folder
    for each side."""

    def __init__(
        self, folder: Path, judge: Path | None, recipe: Recipe, progress: Progress
    ) -> None:
        found = _shuffled(folder)
        if judge is None:
            calibration = [path for at, path in enumerate(found) if at % _HOLD_OUT]
            held_out = found[::_HOLD_OUT]
        else:
            calibration, held_out = found, _shuffled(judge)
        self.calibration = _load(calibration, recipe, progress)
        self.held_out = _load(held_out, recipe, progress)
        count = len(self.calibration) + (len(self.held_out) if judge is None else 0)
        least = MIN_PICTURES // _HOLD_OUT
        if judge is not None and len(self.held_out) < least:
            raise ExportError(
                f"--int8-judge: {judge} holds {len(self.held_out)} usable pictures; at least"
                f" {least} are needed, like those that will be served"
            )
        wanted = MIN_PICTURES if judge is None else MIN_PICTURES - least
        if count < wanted:
            what = "calibration and its check need" if judge is None else "calibration needs"
            raise ExportError(
                f"--int8: {folder} holds {count} usable pictures; {what} at"
                f" least {wanted}, like those that will be served"
            )


def _shuffled(folder: Path) -> list[Path]:
    """By name and not in order, so that a folder sorted by subject is split evenly."""
    found = sorted(list_pictures(folder), key=lambda p: hashlib.sha256(p.name.encode()).digest())
    return found[:MAX_PICTURES]


def _load(paths: list[Path], recipe: Recipe, progress: Progress) -> list[NDArray[np.uint8]]:
    pictures = []
    for path in paths:
        try:
            pictures.append(preprocess(load_image(path), recipe)[None])
        except Exception as error:
            progress(f"remark: {path} is left out: {error}")
    return pictures


def write_int8(
    folder: Path,
    body: Body,
    source: Path,
    judge_source: Path | None,
    accept_worse: bool,
    threads: int,
    progress: Progress,
) -> None:
    """Quantises the bundle's OpenVINO graph on pictures below `source`, judges it on those below
    `judge_source` (None: others below `source`) and appends the entry to body["engines"].
    ExportError where no step keeps the promise, unless `accept_worse`."""
    nncf, ov = _packages()
    row = next(
        (e for e in body["engines"] if (e["engine"], e["precision"]) == ("openvino", "float32")),
        None,
    )
    if row is None:
        raise ExportError(
            "--int8 needs the engine openvino in float32, which this bundle does not have"
        )
    start = time.monotonic()
    pictures = Pictures(source, judge_source, Recipe.from_json(body["input"]), progress)
    judge = _Judge(ov, folder, body, row, pictures, threads)
    progress(
        f"int8: {len(pictures.calibration)} pictures to calibrate, {len(pictures.held_out)} others"
        " to judge"
    )
    progress(
        "  in float32             cosine median  5th percentile  top label  images/s x float32"
    )
    done: list[tuple[Step, Any]] = []
    for step in _steps(judge.read()):
        model = _quantize(nncf, judge.read(), pictures.calibration, step.names)
        done.append((judge.measure(step, model), model))
        _report(done[-1][0], progress)
    good = [pair for pair in done if pair[0].good()]
    if not good and not accept_worse:
        raise ExportError(
            f"--int8: no step keeps the promise (cosine {MIN_COSINE_MEDIAN} at the median,"
            f" {MIN_COSINE_P5} at the 5th percentile, the same top label on {MIN_TOP1:.0%}); the"
            " table above has the best. --accept-worse-int8 writes it nevertheless"
        )
    if good:
        step, model = max(good, key=lambda pair: pair[0].speedup)
    else:
        step, model = max(done, key=lambda pair: pair[0].cosine_p5)
    save(model, folder / "backbone.int8.xml")
    body["engines"] = [e for e in body["engines"] if e["precision"] != "int8"]
    body["engines"].append(
        {
            "engine": "openvino",
            "precision": "int8",
            "path": "backbone.int8.xml",
            "golden_min_cosine": round(judge.golden_cosine(model) - GOLDEN_SLACK, 4),
            "fidelity": {
                "pictures": len(pictures.held_out),
                **step.entry(),
                "curve": [s.entry() for s, _ in done],
            },
        }
    )
    kept = "" if step.good() else ", below the promise"
    progress(
        f"int8: written with {step.float_layers} in float32{kept}; {time.monotonic() - start:.0f} s"
    )


def _packages() -> tuple[ModuleType, ModuleType]:
    ov = openvino_package()
    try:
        import nncf
    except ImportError as error:
        raise ExportError(f"--int8: {error}; {how_to_install('int8')}") from error
    if ov is None:
        raise ExportError(
            f"--int8: the package openvino is not installed; {how_to_install('int8')}"
        )
    nncf.set_log_level(logging.ERROR)
    return nncf, ov


def _steps(model: Any) -> list[Step]:
    """From all in int8 to a third of the convolutions in float32."""
    kinds = ("Convolution", "GroupConvolution")
    convolutions = [node for node in model.get_ordered_ops() if node.get_type_name() in kinds]
    names = [node.get_friendly_name() for node in convolutions]
    depthwise = [n.get_friendly_name() for n in convolutions if n.get_type_name() == kinds[1]]
    steps = [Step("nothing", []), Step("the first convolution", names[:1])]
    base, label = [], "the first"
    if depthwise:
        base, label = depthwise, "depthwise and the first"
        steps.append(Step("depthwise", depthwise))
    for count in sorted(
        {1, max(2, len(names) // 8), max(3, len(names) // 4), max(4, len(names) // 3)}
    ):
        if count < len(names) and (depthwise or count > 1):
            steps.append(Step(f"{label} {count}", sorted({*base, *names[:count]})))
    return steps


def _quantize(
    nncf: ModuleType, model: Any, pictures: list[NDArray[np.uint8]], float_names: list[str]
) -> Any:
    fix = _overflow_fix(nncf)
    # Without VNNI, products of two int8 values saturate in 16 bits unless weights keep to half
    # their range, which costs fidelity; with it there is nothing to fix.
    overflow = fix.DISABLE if _has_vnni() else fix.ENABLE
    return nncf.quantize(
        model,
        nncf.Dataset(pictures),
        subset_size=len(pictures),
        ignored_scope=nncf.IgnoredScope(names=float_names),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
    )


def _overflow_fix(nncf: ModuleType) -> Any:
    """The enumeration, which has moved from one version to the next."""
    if hasattr(nncf, "OverflowFix"):
        return nncf.OverflowFix
    from nncf.quantization.advanced_parameters import OverflowFix

    return OverflowFix


def _has_vnni() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


class _Judge:
    """Measures a quantised graph against the float32 one."""

    def __init__(
        self,
        ov: ModuleType,
        folder: Path,
        body: Body,
        row: EngineEntry,
        pictures: Pictures,
        threads: int,
    ) -> None:
        self._ov, self._core = ov, ov.Core()
        self._path = folder / row["path"]
        self._threads = threads
        self._layer = [layer["name"] for layer in body["layers"]].index(body["default_layer"])
        self._pictures = pictures.held_out
        self._golden = preprocess(
            load_image(folder / body["golden"]["image"]), Recipe.from_json(body["input"])
        )[None]
        self._golden_vector = np.fromfile(folder / body["golden"]["values"], "<f4")
        self._golden_vectors = [  # in the order of the graph's last outputs
            np.fromfile(folder / vector["values"], "<f4")
            for vector in body["golden"].get("vectors", [])
        ]
        self._head = None
        classifier = body.get("classifier")
        if classifier and classifier.get("layer") == body["default_layer"]:
            bias = np.fromfile(folder / classifier["bias"], "<f4")
            weight = np.fromfile(folder / classifier["weight"], "<f4").reshape(len(bias), -1)
            self._head = (weight, bias)
        self._float = self._compile(self.read())
        self._reference = self._vectors(self._float)

    def read(self) -> Any:
        return self._core.read_model(self._path)

    def measure(self, step: Step, model: Any) -> Step:
        compiled = self._compile(model)
        vectors = self._vectors(compiled)
        cosines = _cosines(vectors, self._reference)
        top1 = None
        if self._head:
            weight, bias = self._head
            same = (vectors @ weight.T + bias).argmax(1) == (
                self._reference @ weight.T + bias
            ).argmax(1)
            top1 = float(same.mean())
        # In turns, and each at its best: what else the machine does is not to be measured.
        float_times, times = [], []
        for _ in range(3):
            float_times.append(self._seconds(self._float))
            times.append(self._seconds(compiled))
        return dataclasses.replace(
            step,
            cosine_median=float(np.median(cosines)),
            cosine_p5=float(np.percentile(cosines, 5)),
            top1_agreement=top1,
            speedup=min(float_times) / min(times),
        )

    def golden_cosine(self, model: Any) -> float:
        """The lowest of all that the server checks."""
        vectors = len(self._golden_vectors)
        outputs = [self._layer, *range(len(model.outputs) - vectors, len(model.outputs))]
        compiled = self._compile(model, outputs)
        found = [compiled(self._golden)[at] for at in range(len(outputs))]
        found[0] = found[0].mean((2, 3))
        wanted = [self._golden_vector, *self._golden_vectors]
        return min(
            float(_cosines(got, right[None])[0]) for got, right in zip(found, wanted, strict=True)
        )

    def _compile(self, model: Any, outputs: Sequence[int] = ()) -> Any:
        """The default layer alone, as most requests want it, or these outputs."""
        nodes = [model.outputs[at].node for at in outputs or (self._layer,)]
        model = self._ov.Model(nodes, model.get_parameters())
        config = {
            **FLOAT32,
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self._threads),
            "ENABLE_CPU_PINNING": False,
        }
        return self._core.compile_model(model, "CPU", config)

    def _vectors(self, compiled: Any) -> NDArray[np.float32]:
        return np.concatenate([compiled(picture)[0].mean((2, 3)) for picture in self._pictures])

    def _seconds(self, compiled: Any) -> float:
        picture = self._pictures[0]
        compiled(picture)
        start = time.perf_counter()
        for _ in range(20):
            compiled(picture)
        return time.perf_counter() - start


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float32] = (a * b).sum(1) / np.maximum(norms, 1e-30)
    return cosines


def _report(step: Step, progress: Progress) -> None:
    top1 = "-" if step.top1_agreement is None else f"{step.top1_agreement:.3f}"
    progress(
        f"  {step.float_layers:<26} {step.cosine_median:9.4f} {step.cosine_p5:15.4f} {top1:>10}"
        f" {step.speedup:14.2f}{'' if step.good() else '  too far off'}"
    )
