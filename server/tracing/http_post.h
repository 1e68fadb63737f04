// One HTTP/1.1 connection to a collector. Internal to server/tracing.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/tracing/settings.h"

namespace pixpool {

// Not thread-safe but for HurryUp. Keeps its connection between posts, and makes it anew where the
// other side has closed it.
class HttpPoster {
 public:
  explicit HttpPoster(const TracingSettings& settings);
  ~HttpPoster();
  HttpPoster(const HttpPoster&) = delete;
  HttpPoster& operator=(const HttpPoster&) = delete;

  // Blocks for `timeout` of the settings at most, and the time that looking the host up takes. OK
  // for an answer of 200 to 299; UNAVAILABLE says what went wrong.
  absl::Status Post(const std::string& body);

  // From now on posts end within `rest`. From any thread.
  void HurryUp(std::chrono::milliseconds rest);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace pixpool
