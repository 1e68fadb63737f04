// Requests, serialised before the run.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::bench {

enum class Api { kPixpool, kKserve };

struct WorkloadOptions {
  Api api = Api::kPixpool;
  bool stream = false;
  int batch = 1;                   // pictures a request
  v1::StreamConfig config;         // model, heads, input options
  std::vector<std::string> heads;  // the same heads as text, which KServe v2 takes
  uint64_t seed = 1;
};

// Makes requests in their form on the wire out of pieces that exist once: a picture is serialised
// when this object is made and after that only referred to, so that a request costs a few pointers
// whatever its size. Immutable, so thread-safe.
class Workload {
 public:
  // `pictures` are whole files, at least one. They are shuffled by the seed, so that those of one
  // folder do not follow each other. INVALID_ARGUMENT for options that the API cannot carry.
  static absl::StatusOr<Workload> Make(const WorkloadOptions& options,
                                       std::vector<std::string> pictures);

  // The gRPC method, "/package.Service/Method".
  const std::string& method() const { return method_; }
  const WorkloadOptions& options() const { return options_; }
  size_t picture_count() const { return pictures_.size(); }

  // The request with the pictures from number `first` on, counted modulo their number.
  grpc::ByteBuffer Request(size_t first) const;

  // The first message of a stream, which says what is wanted; empty where there is none.
  const std::string& stream_config() const { return stream_config_; }

 private:
  struct Picture {
    grpc::Slice bytes;  // with the lengths that go before
  };

  WorkloadOptions options_;
  std::string method_;
  std::string stream_config_;
  grpc::Slice prefix_;
  std::vector<Picture> pictures_;
};

// A copy of `text`.
grpc::Slice ToSlice(const std::string& text);

}  // namespace pixpool::bench
