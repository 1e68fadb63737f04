"""Writes the Python code of the API, the package pixpool.v1, from the .proto files.

    python client/python/generate_api.py [FOLDER]

writes FOLDER/pixpool/v1; FOLDER is this file's by default, so that `from pixpool import Client`
works from a checkout with client/python on PYTHONPATH. Needs grpcio-tools and
googleapis-common-protos. setup.py calls this when a wheel is built, so an installed pixpool holds
the code already.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
API = "pixpool/v1/feature_service.proto"


def proto_folder() -> Path:
    """The folder that holds pixpool/v1: a source distribution has a copy, a checkout is one."""
    for folder in (HERE / "proto", HERE.parents[1] / "proto"):
        if (folder / API).is_file():
            return folder
    raise FileNotFoundError(f"no proto/{API} beside {HERE.name} or at the repository's root")


def generate(out: Path) -> Path:
    """Writes messages, their types and gRPC stubs below `out`; returns the package's folder."""
    import google.rpc
    from grpc_tools import protoc

    # google/api and google/rpc lie in googleapis-common-protos, google/protobuf in the compiler.
    common = Path(next(iter(google.rpc.__path__))).parents[1]
    builtin = Path(protoc.__file__).parent / "_proto"
    out.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{folder}" for folder in (proto_folder(), common, builtin)]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *includes, *outputs, API]) != 0:
        raise RuntimeError(f"protoc could not compile {API}")
    package = out / "pixpool" / "v1"
    (package / "__init__.py").write_text('"""Generated code of the API `pixpool.v1`."""\n')
    return package


def runtime_requirements(package: Path) -> list[str]:
    """The oldest runtimes that the generated code accepts: it checks them when it is imported."""
    messages = (package / "feature_service_pb2.py").read_text()
    stubs = (package / "feature_service_pb2_grpc.py").read_text()
    protobuf = re.search(r"^# Protobuf Python Version: ([\d.]+)", messages, re.MULTILINE)
    grpc = re.search(r"^GRPC_GENERATED_VERSION = '([\d.]+)'", stubs, re.MULTILINE)
    if protobuf is None or grpc is None:
        raise RuntimeError("the generated code does not say which runtime it wants")
    return [f"protobuf>={protobuf[1]}", f"grpcio>={grpc[1]}"]


if __name__ == "__main__":
    print(generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
