// A backbone in some engine's format, and the table of engines. For files of server/model that
// include torch anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace pixpool {

// A loaded network: uint8 pictures in, one map for each layer out.
//
// Run may be called by several instances at the same time, each from its own thread. It blocks,
// never throws, and returns maps on the model's device.
class Backbone {
 public:
  virtual ~Backbone() = default;

  // Prepares the calling thread for Run on `instance`.
  virtual void EnterThread(int instance) = 0;

  // `images` is uint8 [N, H, W, 3] on the CPU. The maps are float32 [N, C, h, w] in the order of
  // the manifest's layers. The status carries the engine's own words, for the log.
  virtual absl::StatusOr<std::vector<at::Tensor>> Run(int instance, const at::Tensor& images) = 0;
};

struct BackboneOptions {
  std::string path;    // the main file
  std::string device;  // "cpu" or "cuda:N"
  int instances = 1;
  int threads_per_instance = 1;
};

// An engine, a row of the table in backbone.cc.
struct BackboneEngine {
  std::string_view name;
  bool (*runs_on)(std::string_view device);
  absl::StatusOr<std::unique_ptr<Backbone>> (*load)(const BackboneOptions& options);
};

// All engines of this build; "auto" takes the first that fits device and bundle.
absl::Span<const BackboneEngine> BackboneEngines();

// torchscript_backbone.cc
absl::StatusOr<std::unique_ptr<Backbone>> LoadTorchScript(const BackboneOptions& options);

}  // namespace pixpool
