"""Which wheel of torch ./run takes: the CPU's on a machine without a GPU, without an argument."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy_files import ROOT

REQUIREMENTS = ROOT / "requirements"
BARE = {"PIXPOOL_LOCK": "", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}


def bash(script, *arguments, **variables):
    head = f'set -euo pipefail; cd "{ROOT}"; source scripts/python.sh\n'
    return subprocess.run(
        ["bash", "-c", head + script, "bash", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | BARE | variables,
    )


def lock(gpu, own_index, **variables):
    """The lock that is chosen for this Python, by whether there is a GPU and whether the user's
    own index has torch's CPU wheel.
    """
    done = bash(
        f"""
        python_gpu() {{ {gpu}; }}
        python_pip_has_cpu_torch() {{ {own_index}; }}
        python_lock "$1" "$2"
        """,
        Path(sys.executable).parents[1],
        REQUIREMENTS,
        **variables,
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr


fits = pytest.mark.skipif(
    "# Platform: Python {}.{}, {}, Linux".format(*sys.version_info[:2], os.uname().machine)
    not in (REQUIREMENTS / "lock-cpu.txt").read_text(),
    reason="the locks are for another platform",
)


@fits
@pytest.mark.parametrize(
    ("gpu", "own_index", "chosen"),
    [
        ("false", "false", "lock-cpu.txt"),
        ("false", "true", "lock-cpu.txt"),
        ("true", "true", "lock-cpu.txt"),
        ("true", "false", "lock-cuda.txt"),
    ],
)
def test_without_a_gpu_it_is_the_cpus(gpu, own_index, chosen):
    assert lock(gpu, own_index) == chosen


@fits
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_the_variable_wins(kind):
    for gpu in ("true", "false"):
        assert lock(gpu, "false", PIXPOOL_LOCK=kind) == f"lock-{kind}.txt"
    assert "neither cpu nor cuda nor none" in lock("true", "true", PIXPOOL_LOCK="uv")


def wheel(folder, name, version):
    """A package of one empty module; returns the wheel's SHA-256."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record.append(f"{path},sha256={digest.decode()},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


# In place of uv: says what it was told, and installs from PyTorch's folder.
UV = """\
import pathlib, subprocess, sys
def main():
    world = pathlib.Path(__file__).parent
    (world / "told").write_text(" ".join(sys.argv[1:]))
    python = sys.argv[sys.argv.index("--python") + 1]
    command = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    command += ["--find-links", world / "pytorch", *sys.argv[sys.argv.index("-r") :]]
    sys.exit(subprocess.call(command))
"""


@pytest.fixture(name="world")
def small_world(tmp_path):
    """A folder of requirements whose torch only PyTorch's index has, and pip's index without it."""
    pip, pytorch = tmp_path / "pip", tmp_path / "pytorch"
    torch = wheel(pytorch, "torch", "7.1+cpu")
    other = wheel(pip, "other", "3")
    req = tmp_path / "requirements"
    req.mkdir()
    shutil.copy(REQUIREMENTS / "lock-uv.txt", req)
    (req / "lock-cpu.txt").write_text(
        f"other==3 \\\n    --hash=sha256:{other}\ntorch==7.1+cpu \\\n    --hash=sha256:{torch}\n"
    )
    (req / "runtime.txt").write_text("torch==7.1\nother==3\n")
    (req / "nodeps.txt").write_text("other==3\n")
    (tmp_path / "uv.py").write_text(UV)
    return tmp_path


def install(world, chosen):
    """python_install_runtime, with uv as the file beside it; the lock is a given."""
    done = bash(
        """
        world=$1 chosen=$2
        python_gpu() { false; }
        python_lock() { echo "$chosen"; }
        # All of pip but for uv itself.
        eval "real_$(declare -f python_pip)"
        python_pip() {
          if [[ $* != *lock-uv.txt* ]]; then real_python_pip "$@"; return; fi
          [[ -e $world/uv.py ]] || return 1
          mkdir -p "$1/uv/bin"
          printf '#!%s\\nimport sys; sys.path[0] = "%s"; import uv; uv.main()\\n' \\
            "$1/bin/python" "$world" >"$1/uv/bin/uv"
          chmod +x "$1/uv/bin/uv"
        }
        python_install_runtime "$PYTHON" "$world/venv" "$world/requirements" "$world/mark"
        """,
        world,
        chosen,
        PYTHON=sys.executable,
        PIP_FIND_LINKS=str(world / "pip"),
    )
    return done, (world / "mark").exists()


@pytest.mark.parametrize("chosen", ["lock-cpu.txt", ""])
def test_uv_gets_the_cpus_wheel_where_pip_does_not(world, chosen):
    """With a lock by its hash, elsewhere by its version; pip finds it there and gets the rest."""
    done, complete = install(world, chosen)
    assert done.returncode == 0 and complete, done.stdout + done.stderr
    told = (world / "told").read_text()
    assert "--torch-backend cpu" in told and ("--require-hashes" in told) == bool(chosen)
    (found,) = (world / "venv").glob("lib/*/site-packages/torch-*.dist-info")
    assert found.name == "torch-7.1+cpu.dist-info"
    assert not (world / "venv" / "uv").exists()


def test_where_it_is_not_to_be_had_the_way_out_is_told(world):
    (world / "uv.py").unlink()
    done, complete = install(world, "lock-cpu.txt")
    assert done.returncode != 0 and not complete
    assert "PIXPOOL_LOCK=cuda" in done.stderr and "PIP_EXTRA_INDEX_URL" in done.stderr


def test_pips_own_index_goes_first(world):
    """Nothing is asked of uv where an index of the user's has the wheel."""
    (world / "uv.py").unlink()
    shutil.copy(next((world / "pytorch").iterdir()), world / "pip")
    done, complete = install(world, "lock-cpu.txt")
    assert done.returncode == 0 and complete, done.stdout + done.stderr


def test_the_image_needs_no_argument():
    text = (ROOT / "Dockerfile").read_text()
    required = [line for line in re.findall(r"^ARG (\S+)", text, re.M) if not line.count("=")]
    assert not required
