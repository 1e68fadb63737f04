#include "server/config/config_check.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "server/base/host_port.h"
#include "server/base/listen_address.h"
#include "server/base/text.h"
#include "server/bundle/version_settings.h"
#include "server/image/decode.h"

namespace pixpool {
namespace {

bool IsWildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// Whether two listeners would want the same port. Port 0 is another one each time.
bool Collide(const HostPort& a, const HostPort& b) {
  if (a.port != b.port || a.port == 0) return false;
  return a.host == b.host || IsWildcard(a.host) || IsWildcard(b.host);
}

// Formats that are asked for by name and that this build lacks.
void FindFormatsNotBuilt(const ImageLimits& limits, std::vector<std::string>* problems) {
  const std::vector<std::string_view> built = FormatNames();
  for (const std::string_view name : ImageLimits::kFormatChoices) {
    if (name == ImageLimits::kAllFormats || !limits.Lists(name)) continue;
    if (std::find(built.begin(), built.end(), name) != built.end()) continue;
    problems->push_back(Concat(limits.formats.flag(), " lists ", name,
                               ", which this server is built without: leave it out, or build with ",
                               "its CMake option (docs/building.md)"));
  }
}

// Files of TLS that say nothing without another one.
void FindHalfOfTls(const TlsOptions& tls, std::vector<std::string>* problems) {
  const auto needs = [problems](const auto& given, const auto& other) {
    if (given.value().empty() || !other.value().empty()) return;
    problems->push_back(Concat(given.flag(), " ", given.value(), " needs ", other.flag(), " too"));
  };
  needs(tls.certificate, tls.key);
  needs(tls.key, tls.certificate);
  needs(tls.client_ca, tls.certificate);
}

// Places to listen that would want the same port, of whichever options.
void FindOnePortTwice(const Config& config, std::vector<std::string>* problems) {
  struct Place {
    std::string_view flag;
    std::string text;
    HostPort address;
  };
  std::vector<Place> places;
  for (const ListenAddress& grpc : ListenAddresses(config.rpc.listen.value())) {
    if (!grpc.is_unix()) places.push_back({config.rpc.listen.flag(), grpc.text, grpc.tcp});
  }
  const size_t of_grpc = places.size();
  const auto add = [&places](const auto& listen) {
    const std::optional<HostPort> address = ParseHostPort(listen.value());
    if (address) places.push_back({listen.flag(), listen.value(), *address});
  };
  add(config.http.listen);
  add(config.rest.listen);
  for (size_t b = of_grpc; b < places.size(); ++b) {
    for (size_t a = 0; a < b; ++a) {
      if (!Collide(places[a].address, places[b].address)) continue;
      problems->push_back(Concat(places[a].flag, " ", places[a].text, " and ", places[b].flag, " ",
                                 places[b].text, " want the same port"));
    }
  }
}

}  // namespace

std::vector<std::string> FindContradictions(const Config& config) {
  std::vector<std::string> problems;
  const auto at_most = [&](FlagNumber small, FlagNumber large, const char* why) {
    if (small.value <= large.value) return;
    problems.push_back(
        Concat(small.flag, " ", small.value, " is over ", large.flag, " ", large.value, ": ", why));
  };
  const PipelineOptions& pipeline = config.pipeline;
  const CallOptions& call = config.rpc.call;
  at_most(pipeline.image.max_bytes, config.rpc.max_message_bytes,
          "such an image could never arrive");
  at_most(pipeline.image.max_bytes, pipeline.admission.max_bytes,
          "such an image would never fit the budget");
  at_most(call.default_deadline, call.max_deadline, "the default would be cut");
  at_most(pipeline.max_batch_delay, call.default_deadline,
          "images would expire while they wait for a batch");
  at_most(call.max_stream_in_flight, pipeline.admission.max_requests,
          "one stream would fill the server");
  at_most(config.rpc.connections.max_per_address, config.rpc.connections.max,
          "one address could never have so many");
  const auto& image_memory = pipeline.image.max_memory;
  const auto& pixels = pipeline.admission.max_pixels;
  if (image_memory > kBytesPerPixel * pixels) {
    problems.push_back(Concat(image_memory.flag(), " ", image_memory.value(), " is over ",
                              kBytesPerPixel, " bytes times ", pixels.flag(), " ", pixels.value(),
                              ": such an image would never fit the budget"));
  }
  FindFormatsNotBuilt(pipeline.image, &problems);
  const auto& batch = pipeline.max_batch_size;
  const auto& requests = pipeline.admission.max_requests;
  const auto& images = pipeline.max_images_per_request;
  const int64_t most_images = int64_t{requests} * images;
  if (batch > most_images) {
    problems.push_back(Concat(batch.flag(), " ", batch.value(), " is over ", most_images, ", ",
                              requests.flag(), " times ", images.flag(),
                              ": such a batch could never fill"));
  }
  const auto& caller = config.rpc.caller_header;
  for (const std::string_view other : {kPriorityMetadata, kTraceMetadata}) {
    if (caller.value() != other) continue;
    problems.push_back(Concat(caller.flag(), " ", other, ": that entry says ",
                              other == kPriorityMetadata ? "how urgent a call is" : "its trace",
                              " and not whose it is; choose another"));
  }
  const auto& versions = config.repository.versions;
  if (const auto policy = ParseVersionPolicy(versions.value()); !policy.ok()) {
    problems.push_back(
        Concat(versions.flag(), " ", versions.value(), ": ", policy.status().message()));
  }
  FindHalfOfTls(config.rpc.tls, &problems);
  const auto& tokens = config.rpc.tokens;
  if (!tokens.value().empty() && !caller.value().empty()) {
    problems.push_back(
        Concat(tokens.flag(), " and ", caller.flag(), " both say whose a call is: leave one out"));
  }
  FindOnePortTwice(config, &problems);
  return problems;
}

}  // namespace pixpool
