"""The dashboard's row of the GPU, which is empty where models run on the CPU."""

from queries import now

GPU = [
    (
        "GPU memory",
        "percentunit",
        "Taken by the server and whoever else uses the GPU. LibTorch keeps what it once took.",
        {
            "{{device}} {{instance}}": now("pixpool_gpu_memory_used_bytes")
            + " / "
            + now("pixpool_gpu_memory_total_bytes")
        },
        {"max": 1},
    ),
    (
        "GPU use",
        "percentunit",
        "Share of the time in which the GPU computed. Low while images wait: decoding, batches "
        "or instances are the bound, and not the GPU.",
        {"{{device}} {{instance}}": now("pixpool_gpu_utilization_ratio")},
        {"max": 1},
    ),
    (
        "GPU heat and power",
        "short",
        "Degrees Celsius and watts. A GPU slows down where it gets too hot.",
        {
            "degrees {{device}} {{instance}}": now("pixpool_gpu_temperature_celsius"),
            "watts {{device}} {{instance}}": now("pixpool_gpu_power_watts"),
        },
    ),
]
