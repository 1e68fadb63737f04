"""The package as users get it: wheel and source distribution, installed without anything else; and
its types.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command, cwd, **options):
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path, kind: str, out: Path) -> Path:
    """Builds with this environment's packages; asking a registry is not a test's business."""
    program = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))"
    out.mkdir(exist_ok=True)
    return out / run(sys.executable, "-c", program, cwd=folder).split()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy, since builds write beside what they build; without a developer's generated code."""
    folder = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns("v1", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "client" / "python", folder / "client" / "python", ignore=ignore)
    shutil.copytree(ROOT / "proto", folder / "proto")
    return folder / "client" / "python"


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder that a wheel of pure Python becomes part of."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


def metadata(installed: Path) -> str:
    return next(installed.glob("*.dist-info/METADATA")).read_text()


def test_the_wheel_holds_the_generated_code_and_wants_its_runtimes(installed):
    code = (installed / "pixpool" / "v1" / "feature_service_pb2.py").read_text()
    assert (installed / "pixpool" / "v1" / "feature_service_pb2.pyi").is_file()
    assert (installed / "pixpool" / "py.typed").is_file()
    generated = re.search(r"Protobuf Python Version: ([\d.]+)", code)[1]
    wanted = re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata(installed), re.MULTILINE)
    assert f"protobuf>={generated}" in wanted
    assert {re.split(r"\W", w)[0] for w in wanted} == {"numpy", "protobuf", "grpcio", "googleapis"}
    assert set(re.findall(r"Provides-Extra: (\S+)", metadata(installed))) == {
        "bulk",
        "export",
        "hf",
        "int8",
        "onnx",
        "progress",
        "ray",
    }


def test_the_metadata_of_the_wheel(installed):
    said = metadata(installed)
    head, _, description = said.partition("\n\n")
    lines = head.splitlines()
    for wanted in (
        "License-Expression: Apache-2.0",
        "License-File: LICENSE",
        "Description-Content-Type: text/markdown",
        "Requires-Python: >=3.11",
        "Classifier: Typing :: Typed",
    ):
        assert wanted in lines
    assert any(line.startswith("Keywords: ") for line in lines)
    assert description.strip() == (ROOT / "client" / "python" / "README.md").read_text().strip()
    # A package cannot hold a file from outside of its folder, so the licence is there twice.
    licence = next(installed.glob("*.dist-info/licenses/LICENSE"))
    assert licence.read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory) -> Path:
    """The wheel as pip installs it, in a folder of its own: with console scripts."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "install", *options, "--target", folder, wheel, cwd=folder)
    return folder


@pytest.mark.parametrize(
    ("package", "refused", "status"),
    [
        ("bulk", ["nowhere", "--output", "/dev/null/f.npy"], 6),
        ("export", ["bundle:nowhere"], 1),
    ],
)
def test_console_scripts_are_the_modules(scripts, tmp_path, package, refused, status):
    script, module = f"pixpool-{package}", f"python -m pixpool.{package}"
    commands = {
        script: [str(scripts / "bin" / script)],
        module: [sys.executable, "-P", "-m", f"pixpool.{package}"],
    }
    helps = {}
    for name, command in commands.items():

        def call(*arguments, command=command):
            environment = {"PYTHONPATH": str(scripts)}
            return subprocess.run(
                [*command, *arguments],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
            )

        shown = call("--help")
        assert shown.returncode == 0 and shown.stdout.startswith(f"usage: {name} "), shown
        helps[name] = shown.stdout
        wrong = call("--no-such-option")
        assert wrong.returncode == 2 and f"{name}: error: " in wrong.stderr
        done = call(*refused)
        assert done.returncode == status and done.stderr.startswith(f"pixpool.{package}: "), done
    # Examples are those of the way it was called; apart from the name both say the same.
    assert module not in helps[script]
    assert helps[module].replace(module, script).split() == helps[script].split()


def test_the_wheel_works_with_its_requirements_alone(installed, serve):
    """What is not required is hidden, so that an import of it would fail."""
    server = serve()
    program = f"""
import sys
for name in ("torch", "PIL", "pyarrow", "tqdm", "ray", "grpc_tools", "grpc_health", "openvino"):
    sys.modules[name] = None
import pixpool, pixpool.bulk, pixpool.heads
assert pixpool.__file__.startswith({str(installed)!r})
with pixpool.Client({server.target!r}) as client:
    got = client.extract([b"abc", b"defg"], "gem", progress=True)
print(got.array.shape, got.space_ids["gem"])
from pixpool.v1 import feature_service_pb2_grpc
feature_service_pb2_grpc.FeatureServiceStub
"""
    # -P keeps this folder off the path, and PYTHONPATH would add the checkout.
    out = run(
        sys.executable, "-P", "-c", program, cwd=installed, env={"PYTHONPATH": str(installed)}
    )
    assert out.strip() == f"(2, 6) {'0' * 32}"


def test_a_wheel_from_the_source_distribution_is_the_same(checkout, wheel, tmp_path):
    sdist = build(checkout, "sdist", tmp_path / "dist")
    shutil.unpack_archive(sdist, tmp_path / "source")
    again = build(next((tmp_path / "source").iterdir()), "wheel", tmp_path / "again")
    names = [sorted(zipfile.ZipFile(path).namelist()) for path in (wheel, again)]
    assert names[0] == names[1]


@pytest.fixture
def mypy(tmp_path):
    """mypy(folder) checks the package in a folder by the project's settings, and gives its exit
    status and what it says.
    """
    pytest.importorskip("mypy")
    config = tmp_path / "pyproject.toml"
    shutil.copyfile(ROOT / "client" / "python" / "pyproject.toml", config)

    def check(folder: Path) -> tuple[int, str]:
        options = ("--config-file", str(config), "--cache-dir", str(tmp_path / "cache"))
        command = [sys.executable, "-m", "mypy", *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return check


def test_types_of_the_whole_package_hold_under_mypy_strict(installed, mypy, tmp_path):
    code, said = mypy(installed)
    assert code == 0, said
    # The generated gRPC stubs have no types; everything else was looked at.
    modules = {path.with_suffix("") for path in (installed / "pixpool").rglob("*.py")}
    modules = {path for path in modules if not path.name.endswith("_grpc")}
    assert f"no issues found in {len(modules)} source files" in said
    # What is wrong in any of its packages is found.
    shutil.copytree(installed, tmp_path / "wrong")
    for package in ("bulk", "export", "export/onnx"):
        path = tmp_path / "wrong" / "pixpool" / package / "__init__.py"
        path.write_text(path.read_text() + "\n\ndef untyped(x):\n    return x\n")
    code, said = mypy(tmp_path / "wrong")
    assert code == 1 and said.count("[no-untyped-def]") == 3, said


def test_types_of_a_program_that_uses_the_client(installed, tmp_path):
    """What a user's checker sees; the second program must fail, or this checks nothing."""
    pytest.importorskip("mypy")
    good = """
import numpy as np
from numpy.typing import NDArray
import pixpool
from pixpool import NOT_GIVEN, NotGiven, heads

def fetch(client: pixpool.Client, timeout: float | None | NotGiven = NOT_GIVEN) -> float | None:
    client.extract("a.jpg", timeout=timeout)
    return None if timeout is NOT_GIVEN else timeout

with pixpool.Client("x:1", retry=pixpool.RetryPolicy(max_attempts=2)) as client:
    got = client.extract(["a.jpg", b"x"], heads=[heads.Gem(p=4), "rmac"], on_error="return")
    vectors: np.ndarray = got["gem"]
    cosines = got.array @ got.array.T
    failed: NDArray[np.bool_] = ~got.ok
    pooled = client.pool(got["rmac"], "global_avg").array.mean(axis=0)
    one: pixpool.ImageResult = got[0]
    space: str = one["gem"].space_id
    for result in client.stream(str(i) for i in range(3)):
        error: pixpool.ImageError | None = result.error
    for layer in client.model("net").layers:
        channels: int = layer.channel_count
    scores = client.classify("a.jpg", model="net", on_error="return", timeout=None)
"""
    bad = """
import pixpool
number: int = pixpool.Client().extract("a.jpg").array
pixpool.Client().extract("a.jpg", on_error="ignore")
pixpool.Client().classify("a.jpg", concurency=3)
pixpool.Client().extract("a.jpg", timeout=object())
pixpool.Client().pool(["a"], "gem")
pixpool.Client().model().layer
pixpool.Client().extract("a.jpg").array.shap
"""
    results = []
    for name, text in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}.py").write_text(text)
        # On this path the package counts as the user's own code; installed, its stubs' imports are
        # not reported.
        quiet = ("--follow-imports=silent", "--disable-error-code=import-untyped")
        command = [sys.executable, "-m", "mypy", *quiet, "--cache-dir", "cache", f"{name}.py"]
        environment = {"MYPYPATH": str(installed)}
        results.append(
            subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        )
    assert results[0].returncode == 0, results[0].stdout
    wrong = results[1].stdout
    assert wrong.count("error:") == len(bad.splitlines()) - 2, wrong
    for part in ("on_error", "concurency", '"timeout"', '"pool"', '"layer"', '"shap"'):
        assert part in wrong, (part, wrong)
