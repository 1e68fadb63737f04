#include "server/config/config_check.h"

#include <optional>

#include "server/base/text.h"
#include "server/config/config_table.h"

namespace pixpool {
namespace {

bool IsWildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// Whether two listeners would want the same port. Port 0 is another one each time.
bool Collide(const HostPort& a, const HostPort& b) {
  if (a.port != b.port || a.port == 0) return false;
  return a.host == b.host || IsWildcard(a.host) || IsWildcard(b.host);
}

}  // namespace

std::vector<std::string> FindContradictions(const Config& config) {
  std::vector<std::string> problems;
  const auto at_most = [&](const char* small, int64_t small_value, const char* large,
                           int64_t large_value, const char* why) {
    if (small_value <= large_value) return;
    problems.push_back(
        Concat("--", small, " ", small_value, " is over --", large, " ", large_value, ": ", why));
  };
  at_most("max-image-bytes", config.max_image_bytes, "max-message-bytes", config.max_message_bytes,
          "such an image could never arrive");
  at_most("max-image-bytes", config.max_image_bytes, "max-in-flight-bytes",
          config.max_in_flight_bytes, "such an image would never fit the budget");
  at_most("max-image-pixels", config.max_image_pixels, "max-in-flight-pixels",
          config.max_in_flight_pixels, "such an image would never fit the budget");
  at_most("default-deadline-ms", config.default_deadline_ms, "max-deadline-ms",
          config.max_deadline_ms, "the default would be cut");
  at_most("max-batch-delay-ms", config.max_batch_delay_ms, "default-deadline-ms",
          config.default_deadline_ms, "images would expire while they wait for a batch");
  at_most("max-stream-in-flight", config.max_stream_in_flight, "max-in-flight-requests",
          config.max_in_flight_requests, "one stream would fill the server");
  const int64_t most_images =
      int64_t{config.max_in_flight_requests} * config.max_images_per_request;
  if (config.max_batch_size > most_images) {
    problems.push_back(Concat("--max-batch-size ", config.max_batch_size, " is over ", most_images,
                              ", --max-in-flight-requests times --max-images-per-request: such a "
                              "batch could never fill"));
  }
  const std::optional<HostPort> grpc = ParseAddress(config.listen);
  const std::optional<HostPort> http = ParseAddress(config.http_listen);
  if (grpc && http && Collide(*grpc, *http)) {
    problems.push_back(Concat("--listen ", config.listen, " and --http-listen ", config.http_listen,
                              " want the same port"));
  }
  return problems;
}

}  // namespace pixpool
