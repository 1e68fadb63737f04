// A backbone in some engine's format, and the engines of this build. For files that include torch
// anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/backbone/engines.h"

namespace pixpool {

// One pass over a batch.
struct BackbonePass {
  int instance = 0;
  // uint8 [N, H, W, 3] on the CPU; stays alive and unchanged until the outputs are no longer used.
  at::Tensor images;
  // Positions of the graph's outputs that are wanted: rising, at least one.
  std::vector<int> outputs;
  // CPU threads that may work on it. A backbone may take fewer.
  int threads = 1;
  // Whether it takes much more memory than the usual pass. What a backbone keeps between passes, it
  // keeps apart for those: it would be as large for all others.
  bool large = false;
  // Memory that it is expected to take, for HeldBytes: its own, and that of a network it may need
  // besides those that were there after loading.
  int64_t bytes = 0;
  int64_t network_bytes = 0;
};

// A loaded network: uint8 pictures in; a map for each layer, prefix tokens and vectors out
// (GraphOutputs).
//
// Run may be called by several instances at the same time, each from its own thread. It blocks,
// never throws, and returns tensors on the model's device.
class Backbone {
 public:
  virtual ~Backbone() = default;

  // Prepares the calling thread for Run on `instance`.
  virtual void EnterThread(int instance) = 0;

  // All outputs of the graph in its order, float32; those that were not asked for may be undefined.
  // They may be the backbone's own memory: they hold until the next Run of the same instance. The
  // status carries the engine's own words, for the log.
  virtual absl::StatusOr<std::vector<at::Tensor>> Run(const BackbonePass& pass) = 0;

  // The outputs of this instance's last Run are no longer used. Called after every Run.
  virtual void EndPass(int) {}

  // Whether a pass computes only the outputs that it wants.
  virtual bool picks_outputs() const { return false; }

  // The checks after loading are over; what only they needed may go. No Run is under way.
  virtual void EndWarmUp() {}

  // What it keeps between passes for passes to come, beyond what it held after loading.
  virtual int64_t HeldBytes() const { return 0; }

  // Gives up what no pass uses, the longest unused first, until at most this much is held. Any
  // thread; a pass that needs it again makes it again.
  virtual void DropHeld(int64_t) {}

  // To be called every few seconds: gives up what has not been used for some calls.
  virtual void AgeHeld() {}
};

struct BackboneOptions {
  std::string path;                      // the main file
  std::string device;                    // "cpu" or "cuda:N"
  int output_count = 1;                  // of the graph
  std::vector<int> usual_outputs = {0};  // positions, rising: those that most requests want
  int usual_height = 224;                // of the network's input, likewise
  int usual_width = 224;
  int instances = 1;
  int threads_per_instance = 1;
  int max_threads = 1;  // of a pass that has the machine for itself; at least threads_per_instance
  // Of compiled engines, see EngineFile.
  std::string instruction_set;
  int min_side = 1;
  std::string aligned_path;  // empty: there is none
  int aligned_multiple = 1;
};

using BackboneLoader =
    absl::StatusOr<std::unique_ptr<Backbone>> (*)(const BackboneOptions& options);

// What loads each engine of the list: kLoadOpenVino is defined in openvino_backbone.cc. Null where
// the build is without the engine's library.
#define PIXPOOL_LOADER(Name, ...) extern const BackboneLoader kLoad##Name;
PIXPOOL_ENGINES(PIXPOOL_LOADER)
#undef PIXPOOL_LOADER

struct BackboneEngine : Engine {
  BackboneLoader load;
};

// The engines of this build, in the order of the list; "auto" takes the first that fits device and
// bundle and may be taken unasked.
absl::Span<const BackboneEngine> BackboneEngines();

}  // namespace pixpool
