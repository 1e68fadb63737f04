"""Build hooks: the wheel holds the generated code of the API, and wants the runtimes it wants."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import generate_api  # noqa: E402


class BuildWithApi(build_py):
    """Adds pixpool.v1 to what is built; an editable install gets it in the source folder."""

    def run(self) -> None:
        super().run()
        generate_api.generate(HERE if self.editable_mode else Path(self.build_lib))


class SdistWithProtos(sdist):
    """Adds the .proto files, which lie outside of this folder in a checkout."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        source = generate_api.proto_folder() / generate_api.API
        target = Path(base_dir) / "proto" / generate_api.API
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def requirements() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        generated = generate_api.runtime_requirements(generate_api.generate(Path(folder)))
    return ["numpy", *generated, "googleapis-common-protos"]


setup(
    install_requires=requirements(),
    cmdclass={"build_py": BuildWithApi, "sdist": SdistWithProtos},
)
