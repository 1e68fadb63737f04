"""Makes model bundles for the pixpool server; the format is described in docs/bundle.md.

From the shell: `python -m pixpool.export efficientnet-lite0 --out models`. From Python:

    from pixpool.export.bundle import BundleOptions, write_bundle
    from pixpool.export.models import load_model

    source = load_model("efficientnet-lite0")
    write_bundle(source, BundleOptions(out="models"))

Importing this package is cheap; the modules above import PyTorch.
"""
