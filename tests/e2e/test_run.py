"""./run with a built tree: it starts the server, asks it, and has it end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from server_process import free_port

ROOT = Path(__file__).resolve().parents[2]
# What installs and builds has its own tests (tests/deploy/files).
SETUP = """\
source scripts/ui.sh
setup_packages() { :; }
setup_python() { :; }
setup_build() { :; }
setup_bundle() { :; }
"""


def test_it_serves_where_the_environment_names_a_proxy(bin_dir, models_dir, photos, tmp_path):
    """The proxy knows no way back to this machine, so nothing here may ask it."""
    shutil.copy(ROOT / "run", tmp_path)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "ui.sh", tmp_path / "scripts")
    (tmp_path / "scripts" / "setup.sh").write_text(SETUP)
    (tmp_path / "build" / "release").mkdir(parents=True)
    (tmp_path / "build" / "release" / "bin").symlink_to(bin_dir)
    (tmp_path / "models").symlink_to(models_dir)
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("proxy")
    }
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        environment[name] = "http://127.0.0.1:1"
    environment["PIXPOOL_LISTEN"] = f"127.0.0.1:{free_port()}"
    environment["PIXPOOL_HTTP_LISTEN"] = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [tmp_path / "run", "--once", "--device", "cpu", photos["cat.png"]],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    log = (tmp_path / "build" / "server.log").read_text()
    assert done.returncode == 0, done.stdout + done.stderr + log
    assert "cat" in done.stdout
    assert '"stopped"' in log
