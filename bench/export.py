"""The exporter, with what lets timm be imported beside any torch:

    python bench/export.py MODEL ...

takes what `python -m pixpool.export` takes.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "client" / "python")]

from torchvision_operators import declare_torchvision_operators  # noqa: E402

declare_torchvision_operators()

from pixpool.export.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
