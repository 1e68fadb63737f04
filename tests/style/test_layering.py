"""The include rules hold, and break when they should."""

import re

import pytest

import layering
from project_tree import ROOT


def test_tree():
    problems = layering.check_tree()
    assert not problems, "\n" + "\n".join(map(str, problems))


def test_no_permit_is_unused():
    assert layering.unused_permits() == []


def test_rows_point_one_way():
    """No folder reaches itself through the rows of the table."""
    for start in layering.FOLDERS:
        seen, todo = set(), list(layering.FOLDERS[start])
        while todo:
            folder = todo.pop()
            assert folder != start
            if folder not in seen:
                seen.add(folder)
                todo += layering.FOLDERS[folder]


@pytest.fixture(name="tree")
def small_tree(tmp_path):
    """A correct tree; returns a function that adds a file and gives back the problems."""

    def add(path, *lines):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return [str(problem) for problem in layering.check_tree(tmp_path)]

    add("server/base/clock.h", "#include <chrono>", "#include <sys/types.h>")
    add("server/heads/heads.h", '#include "absl/status/status.h"', '#include "server/base/clock.h"')
    add("server/pipeline/pipeline.h", '#include "server/heads/heads.h"')
    add("server/config/config.h", "#include <string>")
    add(
        "server/rpc/reactor.h",
        '#include "grpcpp/grpcpp.h"',
        '#include "pixpool/v1/feature_service.pb.h"',
    )
    assert add("server/main.cc", '#include "server/config/config.h"') == []
    return add


@pytest.mark.parametrize(
    ("path", "include", "complaint"),
    [
        (
            "server/heads/a.cc",
            '"server/pipeline/pipeline.h"',
            "server/heads may use server/base, server/image",
        ),
        ("server/base/a.cc", '"server/heads/heads.h"', "server/base may use no other folder"),
        ("server/metrics/a.h", '"server/heads/heads.h"', "server/metrics may use server/base"),
        ("server/rpc/a.cc", '"server/config/config.h"', "server/rpc may use"),
        ("client/cpp/a.cc", '"server/base/clock.h"', "client/cpp may use proto"),
        ("bench/a.cc", '"server/pipeline/pipeline.h"', "bench may use server/base"),
        ("bench/peers/a.cc", "<torch/torch.h>", "LibTorch belongs in server/backbone"),
        ("server/pipeline/a.cc", "<torch/torch.h>", "LibTorch belongs in server/backbone"),
        ("server/heads/a.cc", "<torch/script.h>", "LibTorch belongs in server/backbone"),
        ("server/torch/a.cc", "<torch/script.h>", "LibTorch belongs in server/backbone"),
        ("server/torch/a.cc", "<torch/version.h>", "version belongs in server/torch/torch_env.cc"),
        ("server/pipeline/a.cc", '"ATen/ATen.h"', "ATen belongs in server/torch, server/heads"),
        ("server/model/a.cc", "<openvino/openvino.hpp>", "OpenVINO belongs in server/backbone"),
        ("server/backbone/a.cc", "<openvino/openvino.hpp>", "OpenVINO belongs in server/backbone"),
        ("server/heads/a.cc", '"pixpool/v1/feature_service.pb.h"', "Protobuf belongs in"),
        ("server/pipeline/a.cc", "<google/protobuf/message.h>", "Protobuf belongs in"),
        ("server/pipeline/a.cc", "<grpcpp/grpcpp.h>", "gRPC belongs in"),
        ("server/heads/a.cc", "<opencv2/core.hpp>", "OpenCV belongs in server/image"),
        ("server/input/a.cc", "<png.h>", "libpng belongs in server/image"),
        ("server/pipeline/a.cc", "<prometheus/counter.h>", "prometheus-cpp belongs in"),
        ("server/rpc/a.cc", "<boost/beast.hpp>", "Boost belongs in server/metrics"),
        ("server/rpc/a.cc", "<spdlog/spdlog.h>", "spdlog belongs in server/base"),
        ("server/main.cc", "<CLI/CLI.hpp>", "CLI11 belongs in client/cli"),
        ("server/heads/a.cc", '"heads.h"', "not a file below the root"),
        ("server/heads/a.cc", '"../base/clock.h"', "not a file below the root"),
        ("server/heads/a.cc", "<bzlib.h>", "not a file below the root, and not of a library"),
    ],
)
def test_wrong_include_is_found(tree, path, include, complaint):
    problems = tree(path, "#include <string>", f"#include {include}")
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}:2: includes {include[1:-1]}: ")
    assert complaint in problems[0]


def test_sub_folder_follows_the_rules_of_its_folder(tree):
    lines = ("#include <ATen/ATen.h>", '#include "server/base/clock.h"')
    assert tree("server/heads/kinds/a.cc", *lines) == []
    assert len(tree("server/pipeline/detail/a.cc", '#include "server/rpc/reactor.h"')) == 1


def test_sources_by_another_name_are_found(tree):
    assert "called .h and .cc" in tree("server/base/a.hpp", "#include <torch/script.h>")[0]


def test_unknown_folder_is_found(tree):
    assert "not a folder that" in tree("server/extras/a.cc", "#include <string>")[0]


def test_the_table_of_the_readme_is_this_one():
    """server/README.md's table of folders has exactly the folders of the server, in their order."""
    rows = re.findall(r"^\| `([a-z_]+)/` \|", (ROOT / "server/README.md").read_text(), re.M)
    ours = [name.removeprefix("server/") for name in layering.FOLDERS if "server/" in name]
    assert rows == ours
