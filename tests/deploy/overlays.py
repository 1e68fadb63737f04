"""The Kubernetes overlays as they would be applied."""

from __future__ import annotations

import functools
import shutil
import subprocess

import pytest
import yaml

from deploy_files import DEPLOY

FOLDER = DEPLOY / "kubernetes"
OVERLAYS = ["cpu", "gpu"]


@functools.cache
def render() -> dict[str, str]:
    """Overlay -> its manifests. A module that calls this at its head is skipped as a whole where no
    kubectl can render them.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed (kubernetes.io)", allow_module_level=True)
    rendered = {}
    for name in OVERLAYS:
        done = subprocess.run(
            [kubectl, "kustomize", str(FOLDER / "overlays" / name)],
            capture_output=True,
            text=True,
            check=False,
        )
        if 'unknown field "components"' in done.stderr:
            pytest.skip(
                "kubectl is too old for kustomize components; 1.21 or later has them",
                allow_module_level=True,
            )
        assert done.returncode == 0, done.stderr
        rendered[name] = done.stdout
    return rendered


def by_kind(manifests: str) -> dict[str, dict]:
    return {part["kind"]: part for part in yaml.safe_load_all(manifests)}
