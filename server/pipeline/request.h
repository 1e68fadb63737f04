// What goes into the pipeline and what comes out: the vocabulary that it shares with every
// protocol. Native types only; protobuf, HTTP and JSON stop before it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/heads/heads.h"
#include "server/heads/region_pooling.h"
#include "server/image/image.h"
#include "server/input/preprocess.h"
#include "server/metrics/metrics.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/model_registry.h"

namespace pixpool {

// A part of a picture to which the heads are applied. Views into ExtractRequest::owner.
struct RegionInput {
  std::string_view id;
  RegionF box;            // in pixels of the upright picture, or
  bool relative = false;  // in shares of its sides
};

// What becomes of regions; absent fields have the mode's defaults.
struct RegionOptions {
  RegionMode mode = RegionMode::kMap;
  std::optional<RegionPoolingKind> pooling;
  std::vector<int> output_size;  // as many as were sent
  std::optional<int> sampling_ratio;
  std::optional<bool> aligned;
  bool include_image = false;
};

// One picture of a request. Views into ExtractRequest::owner.
struct ImageInput {
  std::string_view encoded;  // a whole file; or
  std::string_view raw;      // RGB pixels, with
  int raw_width = 0;
  int raw_height = 0;
  bool is_raw = false;
  std::vector<RegionInput> regions;
  absl::Status invalid;  // not OK: the image is malformed in a way that only it is to blame for
};

struct ExtractRequest {
  std::shared_ptr<const void> owner;  // keeps the images' bytes alive
  std::string model;                  // empty: the default model
  std::string version;                // empty: the loaded one
  std::vector<ImageInput> images;
  std::vector<HeadRequest> heads;  // empty: one global_avg
  InputOptions input;
  RegionOptions regions;
  std::shared_ptr<CallContext> context;
  std::shared_ptr<const LoadedModel> loaded;  // what `model` and `version` stand for; null: look
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
  TimePoint admitted;                         // from where on it waited, and then was pooled:
  TimeDuration queue{};
  TimeDuration heads_time{};
  Permit permit;  // see ExtractResult
};

// Time of each stage of one image, by Stage; kConvert stays zero.
using StageDurations = std::array<TimeDuration, kStageCount>;

struct RegionFeatures {
  std::string id;
  RegionF box;                      // that the heads were applied to, in pixels of the picture
  std::vector<HeadOutput> outputs;  // in the order of the heads
};

struct ImageFeatures {
  absl::Status status;                  // not OK: the rest is empty
  std::vector<HeadOutput> outputs;      // in the order of the heads
  std::vector<RegionFeatures> regions;  // in the order of the request
  std::vector<std::string> warnings;    // about the picture: damage, hidden colours
  Size picture;                         // as decoded
  Size input;                           // of the network; of several passes the largest
  StageDurations times{};
  bool cached = false;  // whether they were not computed for this image
};

struct ExtractResult {
  absl::Status status;                // not OK: the whole request failed, images is empty
  std::vector<ImageFeatures> images;  // in the order of the request
  std::shared_ptr<const LoadedModel> model;
  TimePoint admitted;        // when the images began to wait for their turn
  TimeDuration load_wait{};  // before that, until the model was loaded for this call
  std::shared_ptr<const std::vector<HeadSpec>> heads;  // as validated
  // The same with the space ids of regions whose maps are pooled; null: there are none such.
  std::shared_ptr<const std::vector<HeadSpec>> region_heads;
  // What the request may hold of the server. To be kept until the answer has left the process, not
  // only until it is made: an answer that nobody reads takes memory too.
  Permit permit;
};

// Where results go. Called exactly once per request.
using ExtractDone = std::function<void(ExtractResult)>;
using PoolDone = std::function<void(PoolResult)>;

}  // namespace pixpool
