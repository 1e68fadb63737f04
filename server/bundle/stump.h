// Bundles of an earlier exporter that hold a small part of their model. Internal to server/bundle.
#pragma once

#include "absl/status/status.h"
#include "server/bundle/manifest.h"

namespace pixpool {

// Refuses (FAILED_PRECONDITION) a transformer's patch embedding alone. Exporters that did not state
// `parameters` yet wrote it as the whole: it is the last module that gives a map.
absl::Status RefuseStump(const Bundle& bundle);

}  // namespace pixpool
