"""What the dashboard shows, row by row. A metric of the server has its place here, or tests/deploy
says which has none.
"""

from cache_panels import CACHE
from gpu_panels import GPU
from model_panels import MODELS, WHICH_IS_SLOW
from queries import UNARY, WORK, by, mean, now, quantile, quantiles, rate, share

# Row -> panels: title, unit, what it shows, {legend: query}, and options if it has any: stack, max,
# line, kind.
ROWS = {
    "The service": [
        (
            "Calls",
            "reqps",
            "Finished calls by method.",
            {"{{method}}": by("method", rate("pixpool_requests_total")) + " > 0"},
        ),
        (
            "Calls that failed",
            "reqps",
            "By status code. UNAVAILABLE is shed, draining or loading; INVALID_ARGUMENT is the "
            "client's.",
            {"{{code}}": by("code", rate("pixpool_requests_total", ', code!="OK"'))},
            {"stack": True},
        ),
        (
            "Failed by our fault",
            "percentunit",
            "The availability objective allows 0.1 % over 30 days.",
            {
                "failed": share(
                    rate(
                        "pixpool_requests_total",
                        WORK + ', code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE|DEADLINE_EXCEEDED"',
                    ),
                    rate("pixpool_requests_total", WORK),
                )
            },
            {"line": 0.001},
        ),
        (
            "Time of a call",
            "s",
            "From arrival to end, unary calls with images or tensors.",
            quantiles(0.5, 0.9, 0.99, metric="pixpool_request_duration_seconds", more=UNARY),
            {"line": 0.5},
        ),
        (
            "Calls over 0.5 s",
            "percentunit",
            "The latency objective allows 1 % over 30 days.",
            {
                "slow": "1 - "
                + share(
                    rate("pixpool_request_duration_seconds_bucket", UNARY + ', le="0.5"'),
                    rate("pixpool_request_duration_seconds_count", UNARY),
                )
            },
            {"line": 0.01},
        ),
        (
            "Images",
            "ops",
            "By outcome; the reasons are those of the API.",
            {
                "{{outcome}} {{reason}}": by("outcome, reason", rate("pixpool_images_total"))
                + " > 0"
            },
            {"stack": True},
        ),
    ],
    "Where the time goes": [
        (
            "Stages, mean",
            "s",
            "What an image spends in each stage; queue and batch_wait are waiting.",
            {"{{stage}}": mean("stage", "pixpool_stage_duration_seconds")},
            {"stack": True},
        ),
        (
            "Stages, p99",
            "s",
            "One image of a hundred takes longer.",
            {"{{stage}}": quantile(0.99, "pixpool_stage_duration_seconds", "stage") + " > 0"},
        ),
        (
            "Batch size",
            "short",
            "Images of a backbone pass. On CPUs with OpenVINO a pass takes one by design.",
            {
                "mean": f"sum({rate('pixpool_batch_size_sum')})"
                f" / (sum({rate('pixpool_batch_size_count')}) > 0)",
                "p95": quantile(0.95, "pixpool_batch_size"),
            },
        ),
        (
            "Oldest pass",
            "s",
            "What the backbone pass under way has taken. Over --hang-timeout-ms it hangs, and the "
            "server is not ready.",
            {"{{model}} {{instance}}": now("pixpool_oldest_pass_seconds")},
        ),
    ],
    "Which model is slow": WHICH_IS_SLOW,
    "Queue and saturation": [
        (
            "Queue",
            "short",
            "Images that wait for a decode thread, for memory or for an instance.",
            {
                "{{instance}}": by("instance", now("pixpool_queue_depth")),
                "for memory {{instance}}": now("pixpool_passes_waiting_for_memory"),
            },
        ),
        (
            "Oldest in the queue",
            "s",
            "How long the oldest work has waited for its turn, by class and model. Bulk work may "
            "wait as long as its callers let it.",
            {
                "{{priority}} {{model}} {{version}}": "max by (priority, model, version) ("
                + now("pixpool_oldest_wait_seconds")
                + ")"
            },
        ),
        (
            "Overloaded",
            "short",
            "1 while more pictures come than are served, and the interactive images that are taken "
            "at a time then, which the server finds by measuring.",
            {
                "overloaded {{instance}}": now("pixpool_overloaded"),
                "images at a time {{instance}}": now("pixpool_image_limit"),
            },
        ),
        (
            "Budgets used",
            "percentunit",
            "Requests, bytes and pixels in flight, of what is allowed at the most: at 100 % "
            "nothing more gets in. A server that is overloaded refuses long before (Overloaded).",
            {
                "requests {{instance}}": now("pixpool_in_flight_requests")
                + " / "
                + now("pixpool_queue_capacity"),
                "bytes {{instance}}": now("pixpool_in_flight_bytes")
                + " / "
                + now("pixpool_in_flight_bytes_limit"),
                "pixels {{instance}}": now("pixpool_in_flight_pixels")
                + " / "
                + now("pixpool_in_flight_pixels_limit"),
            },
            {"max": 1, "line": 0.8},
        ),
        (
            "Refused",
            "reqps",
            "Calls, and images of streams. OVERLOADED: no room, or none in time. DRAINING, "
            "MODEL_LOADING: a rollout. Beside them those that were let in, by class.",
            {
                "{{priority}} {{reason}}": by(
                    "priority, reason", rate("pixpool_requests_shed_total")
                ),
                "{{priority}} let in": by("priority", rate("pixpool_requests_admitted_total")),
            },
            {"stack": True},
        ),
        (
            "Refused, by token",
            "reqps",
            "Where calls need tokens: whose calls are refused for overload, or since their token "
            "allows no more (QUOTA_EXCEEDED).",
            {
                "{{token}} {{reason}}": by(
                    "token, reason", rate("pixpool_requests_shed_total", ', token!=""')
                )
                + " or vector(0)"
            },
            {"stack": True},
        ),
        (
            "Unread answers",
            "bytes",
            "Answers that are ready and wait for their clients to take them. They count as in "
            "flight; calls whose client does not read are ended at their deadline.",
            {
                "bytes {{instance}}": now("pixpool_unread_answer_bytes"),
                "answers {{instance}}": now("pixpool_unread_answers"),
                "ended {{instance}}": rate("pixpool_unread_answers_dropped_total"),
            },
        ),
        (
            "Dropped",
            "ops",
            "Images whose client went away or whose time ran out, by the stage before which it was "
            "seen.",
            {"{{reason}} {{stage}}": by("reason, stage", rate("pixpool_cancellations_total"))},
            {"stack": True},
        ),
        (
            "Wasted",
            "ops",
            "Stages begun for images whose call was over by then; 0 is right.",
            {"{{stage}}": by("stage", rate("pixpool_wasted_work_total"))},
        ),
        (
            "CPU",
            "short",
            "Cores in use by the server, without the workers that decode.",
            {"{{instance}}": rate("process_cpu_seconds_total")},
        ),
        (
            "Threads",
            "short",
            "By pool, and of the process.",
            {
                "{{pool}}": f"sum by (pool) ({now('pixpool_threads')})",
                "process": f"sum({now('process_threads')})",
            },
        ),
    ],
    "Response cache": CACHE,
    "Memory and process": [
        (
            "Memory",
            "bytes",
            "Resident, and what the process may use.",
            {
                "{{instance}}": now("process_resident_memory_bytes"),
                "limit of {{instance}}": now("pixpool_memory_limit_bytes"),
            },
        ),
        (
            "Network memory",
            "percentunit",
            "Of passes, and what models keep between them, of what is left for it. At 100 % passes "
            "wait.",
            {
                "{{instance}}": now("pixpool_network_memory_bytes")
                + " / "
                + now("pixpool_network_memory_capacity_bytes")
            },
            {"max": 1},
        ),
        (
            "File descriptors",
            "percentunit",
            "Open, of those allowed.",
            {"{{instance}}": now("process_open_fds") + " / " + now("process_max_fds")},
            {"max": 1, "line": 0.7},
        ),
        (
            "Connections",
            "percentunit",
            "Of the gRPC port, of those allowed.",
            {"{{instance}}": now("pixpool_connections") + " / " + now("pixpool_connections_limit")},
            {"max": 1, "line": 0.8},
        ),
        (
            "Connections refused",
            "cps",
            "full, address, rate: limit. no_preface: silent or not HTTP/2 (or TLS, where that is "
            "spoken). descriptors: none left.",
            {"{{reason}}": by("reason", rate("pixpool_connections_refused_total"))},
            {"stack": True},
        ),
        (
            "Certificate",
            "s",
            "Time until the certificate that is served expires; 0 without TLS.",
            {
                "{{instance}}": "clamp_min("
                + now("pixpool_tls_certificate_expiry_timestamp_seconds")
                + " - time(), 0)"
            },
        ),
        (
            "Calls by token",
            "reqps",
            "By the name of the token. File refused is 1 while it cannot be used.",
            {
                "{{token}}": by("token", rate("pixpool_token_calls_total")) + " or vector(0)",
                "file refused {{instance}}": now("pixpool_tokens_refused"),
            },
        ),
        (
            "Certificates reloaded",
            "short",
            "Files of TLS that changed. Refused ones are not served: older ones are.",
            {
                "{{outcome}}": by("outcome", rate("pixpool_tls_reloads_total")),
                "refused now {{instance}}": now("pixpool_tls_files_refused"),
            },
        ),
        (
            "Decode workers",
            "short",
            "Processes that decode, and those whose system calls are filtered; 0 where the server "
            "decodes itself.",
            {
                "{{instance}}": now("pixpool_decode_workers"),
                "filtered {{instance}}": now("pixpool_decode_workers_filtered"),
            },
        ),
        (
            "Decode workers replaced",
            "ops",
            "By cause. Any but killed and start is what a picture did, or a flaw of a decoder.",
            {"{{cause}}": by("cause", rate("pixpool_decode_worker_failures_total"))},
            {"stack": True},
        ),
        (
            "Spans",
            "ops",
            "Sent to the collector of traces, or lost: queue_full where it takes too few, failed "
            "where it takes none.",
            {"{{outcome}}": by("outcome", rate("pixpool_spans_total"))},
            {"stack": True},
        ),
        (
            "Log lines lost",
            "ops",
            "Dropped because their reader was too slow.",
            {"{{instance}}": rate("pixpool_log_dropped_total")},
        ),
    ],
    "GPU": GPU,
    "What is asked for": [
        (
            "Heads",
            "ops",
            "Heads computed, by kind.",
            {"{{kind}}": by("kind", rate("pixpool_head_runs_total")) + " > 0"},
            {"stack": True},
        ),
        (
            "Regions",
            "ops",
            "Regions of images, by how they are looked at.",
            {"{{mode}}": by("mode", rate("pixpool_regions_total"))},
            {"stack": True},
        ),
        (
            "Formats",
            "ops",
            "Images received, by file format.",
            {"{{format}}": by("format", rate("pixpool_images_received_total"))},
            {"stack": True},
        ),
        (
            "Damaged images",
            "ops",
            "Read in spite of damage to their file, by what is wrong.",
            {
                "{{format}}, {{kind}}": by("format, kind", rate("pixpool_images_damaged_total"))
                + " > 0"
            },
            {"stack": True},
        ),
        (
            "Bytes of an image",
            "bytes",
            "As it was sent.",
            quantiles(0.5, 0.95, metric="pixpool_image_bytes"),
        ),
        (
            "Pixels of an image",
            "short",
            "From its header.",
            quantiles(0.5, 0.95, metric="pixpool_image_pixels"),
        ),
    ],
    "Models": MODELS,
}
