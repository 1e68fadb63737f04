// What a pass over one picture costs in memory: measured once, after loading, then reckoned.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/backbone/backbone.h"
#include "server/bundle/manifest.h"
#include "server/heads/heads.h"
#include "server/image/image.h"
#include "server/model/model.h"

namespace pixpool {

// What passes for one set of outputs take: memory rises with the pixels of the network's input.
struct PassPrice {
  int64_t network = 0;   // of a network that has to be made first
  double per_pixel = 0;  // of activations and outputs
};

// The bytes of a pass, part by part.
struct PassParts {
  int64_t network = 0;
  int64_t maps = 0;   // activations and outputs
  int64_t heads = 0;  // what the heads take beside them, before they are done
  int64_t total() const { return network + maps + heads; }
};

// The prices of a model. Constant after MeasurePasses; the default costs nothing.
class PassPrices {
 public:
  PassPrices() = default;
  PassPrices(PassPrice usual, PassPrice all, Size recipe, std::vector<int> usual_outputs,
             bool keeps_usual)
      : usual_(usual),
        all_(all),
        recipe_(recipe),
        usual_outputs_(std::move(usual_outputs)),
        keeps_usual_(keeps_usual) {}

  // A pass whose heads read these outputs of the graph: positions, rising, the maps of `layers`
  // first.
  PassParts Of(Size input, const std::vector<int>& outputs,
               absl::Span<const LayerInfo> layers) const;

  // Whether it takes much more than the usual one.
  bool IsLarge(Size input) const;

  // A pass of the recipe's size for the usual outputs, which is not counted: its memory is always
  // there.
  int64_t usual_bytes() const;

 private:
  bool AreUsual(const std::vector<int>& outputs) const;
  bool IsUsual(Size input, const std::vector<int>& outputs) const;

  PassPrice usual_;  // for the usual outputs or some of them
  PassPrice all_;    // for any other set
  Size recipe_{1, 1};
  std::vector<int> usual_outputs_;
  bool keeps_usual_ = false;  // a network for just that pass; else any pass up to it is usual
};

// Of the files that an engine reads, by the path of the main one.
int64_t EngineBytes(const std::string& path);

// Memory that the first pass of a backbone takes, over a picture of the recipe's size for all
// outputs. No other pass of it may run, here and below. Where passes of other models do, what they
// free is not taken for the price: it is that of the maps that come out at the least.
absl::StatusOr<int64_t> MeasureFirstPass(Backbone& backbone, const ModelInfo& info);

// The most that a pass for all outputs of so many pixels takes while the model loads, with a
// network of its own and the look at its maps. 0 where the first pass took nothing.
int64_t LoadingPassBytes(const ModelInfo& info, int64_t first_pass, int64_t pixels);

// Runs one more pass, on a larger picture, and looks at the process's memory; on a smaller picture
// where the larger might not fit into `memory`, what the process may use (0: nobody says).
// `first_pass` as of MeasureFirstPass, which has to come before any other pass. Both cost nothing
// off the CPU, where passes have no price.
absl::StatusOr<PassPrices> MeasurePasses(Backbone& backbone, const ModelInfo& info,
                                         int64_t first_pass, int64_t memory = 0);

}  // namespace pixpool
