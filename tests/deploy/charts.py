"""The Helm chart as it would be installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy_files import DEPLOY

CHART = DEPLOY / "helm" / "pixpool"
# What is rendered by Kustomize (overlays.py), as values: a file, and what is set besides.
COMPOSITIONS = {
    "cpu": ("cpu",),
    "gpu": ("gpu",),
    "kind": ("kind",),
    "locked": ("cpu", "tls.enabled=true", "tokens.enabled=true", "autoscaling.queueDepth=4"),
    "models-pvc": ("cpu", "models.from=claim"),
    "models-image": ("cpu", "models.from=image"),
    "models-init": ("gpu", "models.from=init", "tls.enabled=true", "tokens.enabled=true"),
}


def need_helm() -> None:
    """Skips the test, or the module that calls this at its head, where there is no helm."""
    if shutil.which("helm") is None:
        pytest.skip("helm is not installed (helm.sh)", allow_module_level=True)


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)


def template(*sets: str, values: str = "", release: str = "pixpool", files: tuple = ()):
    """What `helm template` does with a file of values of the chart's and with --set, --set-file."""
    chosen = ["-f", CHART / f"values-{values}.yaml"] if values else []
    for name, option in [(name, "--set") for name in sets] + [(f, "--set-file") for f in files]:
        chosen += [option, name]
    return helm("template", release, CHART, "--namespace", "pixpool", *chosen)


def manifests(*sets: str, **more) -> list[dict]:
    done = template(*sets, **more)
    assert done.returncode == 0, done.stderr
    return [part for part in yaml.safe_load_all(done.stdout) if part]


def render() -> dict[str, str]:
    """Composition -> its manifests."""
    return {
        name: yaml.safe_dump_all(manifests(*sets, values=values))
        for name, (values, *sets) in COMPOSITIONS.items()
    }
