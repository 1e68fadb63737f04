// The engine: requests in, features out. The one file that knows the order of the stages is
// engine.cc.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/engine/admission.h"
#include "server/engine/model_registry.h"
#include "server/image/decode.h"
#include "server/metrics/metrics.h"
#include "server/model/heads.h"
#include "server/model/preprocess.h"

namespace pixpool {

struct EngineOptions {
  AdmissionLimits admission;
  ImageLimits image;
  int max_images_per_request = 32;
  int max_heads_per_request = 32;
  int max_input_side = 2'048;
  int64_t max_response_bytes = 64 << 20;
  int64_t max_head_operations = 2'000'000'000;  // map values that the heads of a request read
  int decode_threads = 2;
  int reply_threads = 1;
  int max_batch_size = 8;
  TimeDuration max_batch_delay = std::chrono::milliseconds(5);
};

// One picture of a request. Views into ExtractRequest::owner.
struct ImageInput {
  std::string_view encoded;  // a whole file; or
  std::string_view raw;      // RGB pixels, with
  int raw_width = 0;
  int raw_height = 0;
  bool is_raw = false;
  absl::Status invalid;  // not OK: the image is malformed in a way that only it is to blame for
};

struct ExtractRequest {
  std::shared_ptr<const void> owner;  // keeps the images' bytes alive
  std::string model;                  // empty: the default model
  std::string version;                // empty: the loaded one
  std::vector<ImageInput> images;
  std::vector<HeadRequest> heads;  // empty: one global_avg
  InputOptions input;
  std::shared_ptr<CallContext> context;
};

// Feature maps to pool without a model. Views into `owner`.
struct PoolRequest {
  std::shared_ptr<const void> owner;  // keeps the values alive
  std::vector<int64_t> shape;         // [N, C, H, W]
  absl::Span<const float> values;
  absl::Span<const int64_t> indices;  // of max_unpool; else empty
  std::vector<HeadRequest> heads;
  std::shared_ptr<CallContext> context;
};

struct PoolResult {
  absl::Status status;                        // not OK: the rest is empty
  std::vector<HeadSpec> heads;                // as validated
  std::vector<std::vector<HeadOutput>> maps;  // [map][head]
};

// Time of each stage of one image, by Stage; kConvert stays zero.
using StageDurations = std::array<TimeDuration, kStageCount>;

struct ImageFeatures {
  absl::Status status;              // not OK: the rest is empty
  std::vector<HeadOutput> outputs;  // in the order of the heads
  Size picture;                     // as decoded
  Size input;                       // of the network; of several passes the largest
  StageDurations times{};
};

struct ExtractResult {
  absl::Status status;                // not OK: the whole request failed, images is empty
  std::vector<ImageFeatures> images;  // in the order of the request
  std::shared_ptr<const LoadedModel> model;
  std::shared_ptr<const std::vector<HeadSpec>> heads;  // as validated
};

// Decodes, preprocesses, batches and runs what Extract is given.
//
// Thread-safe. Extract and Pool never block and do no work beyond validation and reading headers;
// `done` is called exactly once: on the reply pool, that of Pool on the cpu pool, or on the calling
// thread when the request is refused at once. The permit of a request is held until `done` has
// returned. Destructor: Drain must have been called or nothing be in flight.
class Engine {
 public:
  using Done = std::function<void(ExtractResult)>;
  using PoolDone = std::function<void(PoolResult)>;

  Engine(EngineOptions options, ModelRegistry* registry, Metrics* metrics, const Clock* clock);
  ~Engine();

  void Extract(ExtractRequest request, Done done);
  void Pool(PoolRequest request, PoolDone done);

  // Refuses new requests (DRAINING) and waits for those in flight, at most `timeout`. Returns
  // whether all finished.
  bool Drain(absl::Duration timeout);

  const EngineOptions& options() const;
  GaugeReadings Gauges() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pixpool
