"""A models folder of tiny bundles that changes while a server serves it (make_tiny_bundle.py)."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from server_fixtures import run_script

PICTURE = np.full((40, 40, 3), 128, np.uint8)


@pytest.fixture(scope="session")
def tiny_bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def hanging_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a bundle, tiny/1, whose load never ends."""
    folder = tmp_path_factory.mktemp("hanging")
    run_script("make_faulty_bundle.py", folder, "--hang-at-load")
    return folder


@pytest.fixture
def no_models(tmp_path: Path, tiny_bundles: Path) -> TinyModels:
    return TinyModels(tmp_path / "models", tiny_bundles)


@pytest.fixture
def models(no_models: TinyModels) -> TinyModels:
    """With version 1."""
    no_models.put(1)
    return no_models


class TinyModels:
    """Versions of the model "tiny", each with other weights. New ones are put in place whole."""

    def __init__(self, root: Path, bundles: Path) -> None:
        """`bundles` keeps what was made, by the seeds of the weights."""
        self.root = root
        self.bundles = bundles
        self.model = self.root / "tiny"
        self.model.mkdir(parents=True)

    def put(self, version: int, seed: int | None = None) -> Path:
        made = self.bundles / str(seed or 100 + version)
        if not made.exists():
            run_script("make_tiny_bundle.py", made, made.name)
        return put_bundle(made / "tiny" / "1", self.model, version)

    def put_bad(self, version: int) -> Path:
        """One whose weights are not what its manifest states."""
        bundle = self.put(version)
        data = bytearray((bundle / "backbone.ts").read_bytes())
        data[len(data) // 2] ^= 1
        (bundle / "backbone.ts").write_bytes(data)
        return bundle

    def remove(self, version: int) -> None:
        shutil.rmtree(self.model / str(version))

    def set(self, **settings: object) -> None:
        """Writes versions.json, at once."""
        new = self.model / ".versions.json"
        new.write_text(json.dumps(settings))
        os.replace(new, self.model / "versions.json")


def put_bundle(bundle: Path, model: Path, version: int) -> Path:
    """A copy of a bundle as a version of a model, there all at once."""
    new, target = model / ".new", model / str(version)
    shutil.copytree(bundle, new)
    manifest = json.loads((new / "manifest.json").read_text())
    manifest["version"] = target.name
    (new / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(target, ignore_errors=True)
    return new.rename(target)


def wait_for(condition, what: str, seconds: float = 60):
    """The first answer of `condition` that is true."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        time.sleep(0.02)
    return answer
