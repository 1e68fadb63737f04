"""Finding LibTorch must not let its old protobuf headers into the build."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TORCH = Path(importlib.util.find_spec("torch").submodule_search_locations[0])


@pytest.mark.parametrize(
    "flag, variable",
    [
        (f"-DTorch_DIR={TORCH}/share/cmake/Torch", None),
        (f"-DCMAKE_PREFIX_PATH={TORCH}", None),
        (f"-DCMAKE_PREFIX_PATH={TORCH}/share/cmake", None),
        (None, str(TORCH)),
    ],
)
def test_libtorch_is_found_and_protobuf_is_the_systems(tmp_path, flag, variable):
    arguments = [
        "cmake",
        "-G",
        "Ninja",
        "-S",
        str(ROOT),
        "-B",
        str(tmp_path),
        "-DPIXPOOL_BUILD_TESTS=OFF",
    ]
    arguments += [f"-DPython3_EXECUTABLE={sys.executable}"] + ([flag] if flag else [])
    environment = {**os.environ, **({"CMAKE_PREFIX_PATH": variable} if variable else {})}
    run = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    cache = dict(
        line.split("=", 1)
        for line in (tmp_path / "CMakeCache.txt").read_text().splitlines()
        if "=" in line
    )
    assert cache["TORCH_INCLUDE_DIR:PATH"] == f"{TORCH}/include"
    assert not cache["Protobuf_INCLUDE_DIR:PATH"].startswith(str(TORCH))
    assert not cache["Protobuf_PROTOC_EXECUTABLE:FILEPATH"].startswith(str(TORCH))
