"""The files of the project."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GENERATED = {"build", "dist", "models", ".git", ".cache", "__pycache__", ".pytest_cache"}


def project_files(root=ROOT):
    """Files of the tree at `root`, relative to it and sorted: what git knows or would add, else all
    but build output.
    """
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0 and listing.stdout:
        names = [
            pathlib.PurePosixPath(name) for name in listing.stdout.decode().split("\0") if name
        ]
    else:
        names = [
            pathlib.PurePosixPath(path.relative_to(root))
            for path in root.rglob("*")
            if not GENERATED.intersection(path.relative_to(root).parts)
        ]
    return sorted(name for name in names if (root / name).is_file())
