// A loaded model as the pipeline sees it. No torch here, so that the pipeline and its tests build
// without it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/base/clock.h"
#include "server/bundle/manifest.h"
#include "server/heads/heads.h"
#include "server/heads/region_pooling.h"
#include "server/image/image.h"
#include "server/model/options.h"

namespace pixpool {

// What a model is; constant after loading.
struct ModelInfo {
  std::string name;
  std::string version;
  std::string license;
  std::string weights_sha256;
  std::string engine;     // such as "openvino"
  std::string device;     // "cpu", "cuda:0"
  std::string precision;  // "float32"
  InputRecipe input;
  std::vector<LayerInfo> layers;
  std::vector<VectorInfo> vectors;
  std::string default_layer;
  std::string classifier_layer;     // empty: no classifier, or one on a vector
  std::string classifier_vector;    // empty: no classifier, or one on a layer
  std::vector<std::string> labels;  // as many as classes, or empty
  int class_count = 0;              // 0: no classifier
  std::vector<std::shared_ptr<const Projection>> projections;
  std::vector<FilterInfo> filters;

  // What heads are validated against; views of this.
  HeadScope Scope() const;

  // Positions of the graph's outputs that most requests want, rising: the map of the default layer
  // and its prefix tokens. Where that is the last block of a transformer, the embedding too, which
  // is a norm and at most a linear layer away.
  std::vector<int> UsualOutputs() const;

  // Remarks for people: layers with negative activations and the heads that lose them.
  std::vector<std::string> Warnings() const;
};

// One image of a batch and the heads it wants. Views; the caller keeps them alive during RunBatch.
struct ModelTask {
  const Image* input = nullptr;  // all inputs of a batch have the same size
  absl::Span<const HeadSpec> heads;
  // Whether this is one of several passes over a picture: its values end with FinishPass, and
  // whoever sums the passes goes on.
  bool one_of_several = false;
  // Parts of the input, in its pixels, to whose maps the heads are applied, as `pooling` makes
  // them; not for a pass of several.
  absl::Span<const RegionF> regions = {};
  RegionPooling pooling = {};
  bool whole = true;  // whether they are applied to the input as a whole
};

// What became of one image of a batch.
struct ModelResult {
  absl::Status status;              // not OK: the rest is empty
  std::vector<HeadOutput> outputs;  // in the order of the task's heads; empty unless `whole`
  std::vector<std::vector<HeadOutput>> regions;  // likewise of each region
};

struct ModelRunTimes {
  TimeDuration backbone{};
  TimeDuration heads{};
};

// Where a batch runs.
struct BatchPlace {
  int instance = 0;
  // Pictures that are being worked on or wait in this process, those of the batch included: a pass
  // alone may take all cores.
  int pictures_in_flight = 1;
};

// A model with one or more instances, each of which runs one batch at a time.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelInfo& info() const = 0;
  virtual int instance_count() const = 0;

  // Largest batch that is not slower than its pictures one after the other.
  virtual int useful_batch_size() const = 0;

  // Prepares the calling thread for RunBatch on `instance` (threads of the engine, device). Call
  // once per thread.
  virtual void EnterInstanceThread(int instance) = 0;

  // Runs the backbone once over the batch and applies to each image the heads it asked for.
  // `results` has as many entries as `tasks`. An error of one head fails its image alone; an error
  // of the backbone fails all with INFERENCE_FAILED. Blocks. Different instances may run at the
  // same time; one instance is used by one thread at a time. Never throws.
  virtual void RunBatch(const BatchPlace& place, absl::Span<const ModelTask> tasks,
                        absl::Span<ModelResult> results, ModelRunTimes* times) = 0;

  // Memory that a pass over an input of this size with these heads takes while it runs, beyond what
  // is always there. 0 for the usual pass, and off the CPU.
  virtual int64_t PassBytes(Size, absl::Span<const HeadSpec>) const { return 0; }

  // What usual passes on all instances come to take after loading.
  virtual int64_t UsualBytes() const { return 0; }

  // What the model keeps for passes to come, and its surrender: until at most `most` bytes are
  // kept, or all that no pass uses, or what no pass has used for a while (AgeHeld is to be called
  // every few seconds). Any thread.
  virtual int64_t HeldBytes() const { return 0; }
  virtual void DropHeld(int64_t) {}
  virtual void AgeHeld() {}
};

// What this process may use.
struct Machine {
  int cores = 1;
  int64_t memory = 0;  // bytes in all; 0: nobody says
};

// Loads a bundle, warms it up and checks its golden picture through the whole path (decode,
// preprocess, backbone, head). FAILED_PRECONDITION names what differs, or what memory is missing:
// that is asked before each pass over more pixels than the last. `like` is a model that serves
// meanwhile, null for none: while others' passes run it cannot be measured what a pass takes, and
// where the two have the same layers and engine it is taken from there. Blocks for seconds.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Bundle& bundle, const ModelOptions& options,
                                                 const Machine& machine = {},
                                                 const Model* like = nullptr);

// Space id of a head under an input plan: hash of weights, recipe's normalisation, plan, head,
// engine precision.
std::string MakeSpaceId(const ModelInfo& info, std::string_view plan_canonical,
                        std::string_view head_canonical);

}  // namespace pixpool
