"""The options that the checks of the files know are those of the server."""

from __future__ import annotations

import os
import re
import subprocess

from deploy_files import known_options


def test_options_of_the_source_are_those_of_the_binary(bin_dir):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
    text = subprocess.run(
        [bin_dir / "pixpool-server", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    found = {
        name
        for line in text.splitlines()
        for name in re.findall(r"^  (?:-h, )?--(?:\[no-\])?([a-z-]+)", line)
    }
    assert found == known_options()
