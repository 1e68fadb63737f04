"""pixpool: images in, pooled CNN features out.

The package is light on purpose: `pixpool.export` alone needs PyTorch and Pillow (the extra
`pixpool[export]`), and nothing here imports it.
"""

__version__ = "0.1.0"
