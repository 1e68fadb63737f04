// Everything that is checked before admission: no pixel is decoded and nothing is queued for a
// request that fails here.
#pragma once

#include "absl/status/status.h"
#include "server/engine/work.h"

namespace pixpool {

// Checks a request against model and limits and fills in work->plan, work->headers and work->result
// (model, heads with their space ids, one slot an image; an image that fails alone has its status
// there). Adds up what the good images cost. Errors of the whole request: LIMIT_EXCEEDED,
// REQUEST_INVALID, HEAD_INVALID, LAYER_NOT_FOUND, with field paths.
absl::Status ValidateRequest(const EngineOptions& options, Metrics* metrics, RequestWork* work,
                             AdmissionCost* cost);

}  // namespace pixpool
