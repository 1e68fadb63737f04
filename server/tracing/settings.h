// What OpenTelemetry's variables of the environment say of tracing.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tracing/span.h"

namespace pixpool {

// Which calls are traced.
struct Sampling {
  double share = 1;            // of those that it decides on
  bool follows_caller = true;  // a call with a trace is sampled as its caller says
};

// How the collector is known, and the server to it.
struct CollectorTls {
  // Of PEM; an empty path: none is named.
  struct File {
    std::string variable;  // that names it
    std::string path;
  };

  bool on = false;  // else plain text
  File ca;          // where it is not named, those that the system trusts
  File certificate, key;
};

struct TracingSettings {
  bool on = false;  // everything else is of no account where it is false
  std::string host, port, path;
  CollectorTls tls;
  std::vector<std::pair<std::string, std::string>> headers;
  Attributes resource;  // service.name and others
  Sampling sampling;
  std::chrono::milliseconds timeout{10'000};  // of one export
  std::chrono::milliseconds delay{5'000};     // between two
  size_t most_queued = 2048;
  size_t most_in_batch = 512;
  std::vector<std::string> warnings;  // of variables that are set and not heeded
};

// Off unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. `variable`
// gives a variable's value, null where it is not set. INVALID_ARGUMENT names the variable, and what
// it may be.
absl::StatusOr<TracingSettings> TracingFromEnvironment(
    const std::function<const char*(const char* name)>& variable);

}  // namespace pixpool
