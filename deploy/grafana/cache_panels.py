"""What the dashboard shows of the response cache (panels.py)."""

from queries import by, now, rate, share

CACHE = [
    (
        "Images, by what the cache did",
        "ops",
        "hit: the answer was kept. shared: it waited for the same image, which was worked on. "
        "miss: it was worked on. Nothing where the cache is off.",
        {"{{outcome}}": by("outcome", rate("pixpool_response_cache_images_total"))},
        {"stack": True},
    ),
    (
        "Share that was not worked on",
        "percentunit",
        "Hits and shared ones, of all images of a server with a cache.",
        {
            "not worked on": share(
                rate("pixpool_response_cache_images_total", ', outcome!="miss"'),
                rate("pixpool_response_cache_images_total"),
            )
        },
    ),
    (
        "Memory of the cache",
        "bytes",
        "What is kept, with keys, and the most that may be (response-cache-bytes); and the "
        "number of answers.",
        {
            "bytes {{instance}}": now("pixpool_response_cache_bytes"),
            "most {{instance}}": now("pixpool_response_cache_capacity_bytes"),
            "answers {{instance}}": now("pixpool_response_cache_entries"),
        },
    ),
    (
        "Answers given up",
        "ops",
        "full: others came. model: its model left or was loaded anew.",
        {"{{reason}}": by("reason", rate("pixpool_response_cache_evictions_total"))},
    ),
]
