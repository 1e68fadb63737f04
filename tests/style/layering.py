"""Which folder may include what: the one-way flow of the project, and the one home of each heavy
library.

Adding a folder or a library means adding its row here.
"""

import dataclasses
import pathlib
import re
import sys

from project_tree import ROOT, project_files

# Folder -> the project folders whose headers it may include, besides its own. "server" and "client"
# are the files directly in them.
FOLDERS = {
    "server/base": [],
    "server/metrics": ["server/base"],
    "server/gpu": ["server/base", "server/metrics"],
    "server/tracing": ["server/base", "server/metrics"],
    "server/net": ["server/base", "server/metrics"],
    "server/tls": ["server/base", "server/metrics", "server/net"],
    "server/image": ["server/base"],
    "server/batching": ["server/base"],
    "server/bundle": ["server/base"],
    "server/input": ["server/base", "server/image", "server/bundle"],
    "server/isolation": ["server/base", "server/image", "server/input"],
    "server/torch": ["server/base"],
    "server/heads": ["server/base", "server/image", "server/bundle", "server/torch"],
    "server/backbone": ["server/base", "server/torch"],
    "server/model": [
        "server/base",
        "server/image",
        "server/bundle",
        "server/input",
        "server/torch",
        "server/heads",
        "server/backbone",
    ],
    "server/pipeline": [
        "server/base",
        "server/metrics",
        "server/image",
        "server/batching",
        "server/input",
        "server/isolation",
        "server/heads",
        "server/model",
    ],
    "server/repository": [
        "server/base",
        "server/metrics",
        "server/bundle",
        "server/model",
        "server/pipeline",
    ],
    "proto": [],
    "server/rpc": [
        "server/base",
        "server/metrics",
        "server/net",
        "server/tls",
        "server/tracing",
        "server/input",
        "server/heads",
        "server/pipeline",
        "proto",
    ],
    "server/kserve": [
        "server/base",
        "server/bundle",
        "server/input",
        "server/heads",
        "server/pipeline",
        "server/repository",
        "server/rpc",
        "proto",
    ],
    "server/rest": [
        "server/base",
        "server/metrics",
        "server/net",
        "server/tls",
        "server/heads",
        "server/pipeline",
        "server/rpc",
        "proto",
    ],
    # The options of the layers, which their own headers declare.
    "server/config": [
        "server/base",
        "server/image",
        "server/metrics",
        "server/isolation",
        "server/bundle",
        "server/model",
        "server/pipeline",
        "server/repository",
        "server/rpc",
        "server/rest",
    ],
    "server/app": [
        "server/base",
        "server/metrics",
        "server/gpu",
        "server/tls",
        "server/tracing",
        "server/isolation",
        "server/torch",
        "server/model",
        "server/pipeline",
        "server/repository",
        "server/rpc",
        "server/kserve",
        "server/rest",
        "server/config",
    ],
    "server": ["server/isolation", "server/heads", "server/config", "server/app"],
    "client/cpp": ["proto"],
    "client/bench": ["client/cpp"],
    "client/cli": ["client/cpp", "client/bench"],
    # Programs that measure single parts, so they may look into any of them.
    "bench": [
        "server/base",
        "server/image",
        "server/batching",
        "server/input",
        "server/heads",
        "server/model",
        "server/rpc",
    ],
}

# Library -> what its headers look like, and where they may be included: folders, or patterns of
# single files.
LIBRARIES = {
    "LibTorch's version": (r"torch/version\.h$", ["server/torch/torch_env.cc"]),
    # TorchScript and AOTInductor, which run whole networks.
    "LibTorch": (r"(torch|caffe2)/", ["server/backbone/*.cc"]),
    # LibTorch's tensors and their arithmetic.
    "ATen": (
        r"(ATen|c10)/",
        ["server/torch", "server/heads", "server/backbone", "server/model"],
    ),
    "OpenVINO": (r"openvino/", ["server/backbone/openvino_backbone.cc"]),
    "gRPC": (
        r"(grpc|grpcpp|grpc\+\+)/",
        [
            "server/rpc",
            "server/kserve",
            "server/app/serve.cc",
            "client/cpp",
            "client/bench",
        ],
    ),
    "Protobuf": (
        r"google/|.*\.pb\.h$",
        [
            "proto",
            "server/rpc",
            "server/kserve",
            "server/rest/models.cc",
            "client/cpp",
            "client/bench",
            "client/cli",
        ],
    ),
    "OpenCV": (r"opencv2/", ["server/image"]),
    "libjpeg-turbo": (r"(jpeglib|jerror|turbojpeg)\.h$", ["server/image/jpeg_decoder.cc", "bench"]),
    "libpng": (r"png\.h$", ["server/image"]),
    "zlib": (r"zlib\.h$", ["server/image/png_*.cc"]),
    "libwebp": (r"webp/", ["server/image"]),
    "libtiff": (r"tiff(io)?\.h$", ["server/image/tiff*"]),
    "libavif": (r"avif/", ["server/image/avif.cc"]),
    "dav1d": (r"dav1d/", ["server/image/avif_dav1d.cc"]),
    "libde265": (r"libde265/", ["server/image/hevc_decoder.cc"]),
    "prometheus-cpp": (r"prometheus/", ["server/metrics"]),
    "Boost": (
        r"boost/",
        [
            "server/metrics",
            "server/tracing/http_post.cc",
            "server/rest",
            "client/bench/histogram.cc",
            "client/bench/http_get.cc",
        ],
    ),
    "spdlog": (r"spdlog/", ["server/base"]),
    "OpenSSL": (
        r"openssl/",
        [
            "server/base",
            "server/tls",
            "server/tracing/collector_tls.cc",
            "server/rest/tls_context.cc",
            "client/cpp/pem.cc",
        ],
    ),
    "CLI11": (r"CLI/", ["client/cli"]),
    "nlohmann-json": (
        r"nlohmann/",
        [
            "server/bundle",
            "server/heads/head_json.cc",
            "server/model/projections.cc",
            "server/rest/embeddings.cc",
            "client/bench",
            "client/cli",
        ],
    ),
    "Google Benchmark": (r"benchmark/", ["bench"]),
    "x86 intrinsics": (r"immintrin\.h$", ["server/image/*_avx2.cc", "server/image/*_avx512.cc"]),
    "Abseil": (r"absl/", [folder for folder in FOLDERS if folder != "server"]),
}

# The standard library, and the headers of the C library and of Linux.
SYSTEM = re.compile(
    r"[a-z_0-9]+$|(sys|linux|netinet|arpa|net)/\w+\.h$|"
    r"(dirent|dlfcn|errno|execinfo|fcntl|fnmatch|getopt|glob|limits|malloc|netdb|poll|pthread|pwd|sched|signal|spawn|stdint|"
    r"stdio|stdlib|string|termios|time|unistd)\.h$"
)
# What would slip through otherwise.
OTHER_SOURCES = {".c", ".cpp", ".cxx", ".C", ".hh", ".hpp", ".hxx", ".inc", ".inl", ".ipp", ".tcc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


@dataclasses.dataclass(frozen=True)
class Problem:
    path: pathlib.PurePosixPath
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


def folder_of(path):
    """The row of FOLDERS that a file belongs to: its first two folders, or one for files directly
    in it, and for all of bench/.
    """
    return "/".join(path.parts[:-1][: 1 if path.parts[0] == "bench" else 2])


def may_use(path, homes):
    folder = folder_of(path)
    return any(home == folder or path.match(home) for home in homes)


def is_ours(root, name):
    """Whether `name` is a file of the project or is made from one (version.h from version.h.in)."""
    return "/" in name and ((root / name).is_file() or (root / (name + ".in")).is_file())


def check_include(root, path, quote, name):
    """What is wrong with one include of a file, or None."""
    folder = folder_of(path)
    for library, (pattern, homes) in LIBRARIES.items():
        if re.match(pattern, name):
            if may_use(path, homes):
                return None
            return f"includes {name}: {library} belongs in {', '.join(homes)}"
    if is_ours(root, name):
        target = folder_of(pathlib.PurePosixPath(name))
        if target == folder or target in FOLDERS[folder]:
            return None
        allowed = ", ".join(FOLDERS[folder]) or "no other folder"
        return f"includes {name}: {folder} may use {allowed}"
    if quote == "<" and SYSTEM.match(name):
        return None
    return (
        f"includes {name}: not a file below the root, "
        "and not of a library that tests/style/layering.py knows"
    )


def check_tree(root=ROOT):
    """All problems of the tree at `root`."""
    problems = []
    for path in project_files(root):
        if path.parts[0] not in ("server", "client", "proto", "bench"):
            continue
        if path.suffix in OTHER_SOURCES:
            problems.append(Problem(path, 1, "sources of C++ are called .h and .cc here"))
        if path.suffix not in (".h", ".cc"):
            continue
        if folder_of(path) not in FOLDERS:
            problems.append(
                Problem(
                    path, 1, f"{folder_of(path)} is not a folder that tests/style/layering.py knows"
                )
            )
            continue
        for number, line in enumerate((root / path).read_text(encoding="utf-8").splitlines(), 1):
            found = INCLUDE.match(line)
            if found and (text := check_include(root, path, *found.groups())):
                problems.append(Problem(path, number, text))
    return problems


def unused_permits(root=ROOT):
    """The homes of LIBRARIES where nothing of the library is included: permits nobody needs."""
    used = set()
    for path in project_files(root):
        if path.suffix in (".h", ".cc"):
            names = INCLUDE.findall((root / path).read_text(encoding="utf-8"))
            for library, (pattern, homes) in LIBRARIES.items():
                if any(re.match(pattern, name) for _, name in names):
                    used |= {(library, h) for h in homes if may_use(path, [h])}
    wanted = {(library, home) for library, (_, homes) in LIBRARIES.items() for home in homes}
    return sorted(wanted - used)


if __name__ == "__main__":
    found_problems = check_tree()
    print(*found_problems, sep="\n")
    sys.exit(bool(found_problems))
