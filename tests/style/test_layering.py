"""The include rules hold, and break when they should."""

import pytest

import layering


def test_tree():
    problems = layering.check_tree()
    assert not problems, "\n" + "\n".join(map(str, problems))


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
    add("server/model/heads.h", '#include "absl/status/status.h"', '#include "server/base/clock.h"')
    add("server/engine/engine.h", '#include "server/model/heads.h"')
    add("server/config.h", "#include <string>")
    add(
        "server/rpc/reactor.h",
        '#include "grpcpp/grpcpp.h"',
        '#include "pixpool/v1/feature_service.pb.h"',
    )
    assert (
        add("server/main.cc", '#include "server/rpc/reactor.h"', '#include "server/config.h"') == []
    )
    return add


@pytest.mark.parametrize(
    ("path", "include", "complaint"),
    [
        (
            "server/model/a.cc",
            '"server/engine/engine.h"',
            "server/model may use server/base, server/image",
        ),
        ("server/base/a.cc", '"server/model/heads.h"', "server/base may use no other folder"),
        ("server/metrics/a.h", '"server/model/heads.h"', "server/metrics may use server/base"),
        ("server/rpc/a.cc", '"server/config.h"', "server/rpc may use"),
        ("client/cpp/a.cc", '"server/base/clock.h"', "client/cpp may use proto"),
        ("server/engine/a.cc", "<torch/torch.h>", "LibTorch belongs in server/model"),
        ("server/engine/a.cc", '"ATen/ATen.h"', "LibTorch belongs in server/model"),
        ("server/model/a.cc", '"pixpool/v1/feature_service.pb.h"', "Protobuf belongs in"),
        ("server/engine/a.cc", "<google/protobuf/message.h>", "Protobuf belongs in"),
        ("server/engine/a.cc", "<grpcpp/grpcpp.h>", "gRPC belongs in"),
        ("server/model/a.cc", "<opencv2/core.hpp>", "OpenCV belongs in server/image"),
        ("server/model/a.cc", "<png.h>", "libpng belongs in server/image"),
        (
            "server/engine/a.cc",
            "<prometheus/counter.h>",
            "prometheus-cpp belongs in server/metrics",
        ),
        ("server/rpc/a.cc", "<boost/beast.hpp>", "Boost belongs in server/metrics"),
        ("server/rpc/a.cc", "<spdlog/spdlog.h>", "spdlog belongs in server/base"),
        ("server/main.cc", "<CLI/CLI.hpp>", "CLI11 belongs in server/config*.cc, client/cli"),
        ("server/model/a.cc", '"heads.h"', "not a file below the root"),
        ("server/model/a.cc", '"../base/clock.h"', "not a file below the root"),
        ("server/model/a.cc", "<zlib.h>", "not a file below the root, and not of a library"),
    ],
)
def test_wrong_include_is_found(tree, path, include, complaint):
    problems = tree(path, "#include <string>", f"#include {include}")
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}:2: includes {include[1:-1]}: ")
    assert complaint in problems[0]


def test_sub_folder_follows_the_rules_of_its_folder(tree):
    assert (
        tree(
            "server/model/torch/a.cc", "#include <torch/torch.h>", '#include "server/model/heads.h"'
        )
        == []
    )
    assert len(tree("server/engine/detail/a.cc", '#include "server/rpc/reactor.h"')) == 1


def test_unknown_folder_is_found(tree):
    assert "not a folder that" in tree("server/extras/a.cc", "#include <string>")[0]
