"""The rows of the dashboard on models: which of them is slow, and what each replica serves."""

from queries import UNARY, by, mean, now, quantile, rate

BY_MODEL = "model, version"
LEGEND = "{{model}} {{version}}"
NAMED = ', model!=""'

WHICH_IS_SLOW = [
    (
        "Time of a call, by model",
        "s",
        "p99 of unary calls. Versions of a model are beside each other.",
        {LEGEND: quantile(0.99, "pixpool_request_duration_seconds", BY_MODEL, UNARY + NAMED)},
        {"line": 0.5},
    ),
    (
        "Backbone, by model",
        "s",
        "Mean time of a pass: what the model itself costs.",
        {LEGEND: mean(BY_MODEL, "pixpool_stage_duration_seconds", ', stage="backbone"')},
    ),
    (
        "Waiting, by model",
        "s",
        "p99 of the stages that wait: queue for a decode thread, batch_wait for an instance.",
        {
            LEGEND + " {{stage}}": quantile(
                0.99,
                "pixpool_stage_duration_seconds",
                BY_MODEL + ", stage",
                ', stage=~"queue|batch_wait"' + NAMED,
            )
            + " > 0"
        },
    ),
    (
        "Images, by model",
        "ops",
        "Those that were ok.",
        {LEGEND: by(BY_MODEL, rate("pixpool_images_total", ', outcome="ok"'))},
        {"stack": True},
    ),
    (
        "Failed calls, by model",
        "percentunit",
        "Of the calls of a model, those that did not end with OK. Calls that were refused "
        "before their model was known are in Calls that failed.",
        {
            LEGEND: by(BY_MODEL, rate("pixpool_requests_total", NAMED + ', code!="OK"'))
            + " / ("
            + by(BY_MODEL, rate("pixpool_requests_total", NAMED))
            + " > 0)"
        },
    ),
    (
        "Queue, by model",
        "short",
        "Images that wait, on all replicas.",
        {LEGEND: by(BY_MODEL, now("pixpool_queue_depth"))},
        {"stack": True},
    ),
]

MODELS = [
    (
        "Models",
        "short",
        "What each replica serves; they should agree.",
        {"": now("pixpool_model_info")},
        {"kind": "table"},
    ),
    (
        "Ready",
        "bool_yes_no",
        "Whether a model serves.",
        {"{{model}} {{version}} {{instance}}": now("pixpool_model_ready")},
        {"kind": "stat"},
    ),
    (
        "Time to load",
        "s",
        "When it was loaded last.",
        {"{{model}} {{version}} {{instance}}": now("pixpool_model_load_duration_seconds")},
        {"kind": "stat"},
    ),
    (
        "Loads and leaving versions",
        "short",
        "Versions that were loaded or could not be, an hour, and those that wait for their last "
        "call.",
        {
            "{{outcome}} {{instance}}": "increase(" + now("pixpool_model_loads_total") + "[1h])",
            "leaving {{instance}}": now("pixpool_models_leaving"),
        },
    ),
    (
        "Idle models",
        "short",
        "Models that were freed and loaded for calls again, an hour (model-idle-s).",
        {
            LEGEND + " freed {{instance}}": "increase("
            + now("pixpool_model_idle_unloads_total")
            + "[1h])",
            LEGEND + " {{outcome}} {{instance}}": "increase("
            + now("pixpool_model_call_loads_total")
            + "[1h])",
            LEGEND + " idle {{instance}}": now("pixpool_model_idle"),
        },
    ),
    (
        "Cold starts",
        "s",
        "Mean wait of the first call for a model that was idle.",
        {LEGEND: mean(BY_MODEL, "pixpool_model_cold_start_duration_seconds")},
    ),
    (
        "Calls that wait for models",
        "short",
        "For models that were idle and are being loaded.",
        {"{{instance}}": now("pixpool_calls_waiting_for_models")},
    ),
    (
        "Versions",
        "short",
        "Of the server and its libraries.",
        {"": now("pixpool_build_info")},
        {"kind": "table"},
    ),
    (
        "Up for",
        "s",
        "Since the process started.",
        {"{{instance}}": "time() - " + now("process_start_time_seconds")},
        {"kind": "stat"},
    ),
]
