#include "server/model/pass_bytes.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <system_error>
#include <thread>

#include "server/base/memory.h"
#include "server/base/memory_room.h"
#include "server/base/status_macros.h"
#include "server/bundle/graph_outputs.h"

namespace pixpool {
namespace {

// What resident memory was found to be of what is in use at a time, where an engine frees memory
// during a pass: the heap has holes.
constexpr double kFreedFactor = 2.75;
// Machine code that an engine makes for a network, which is not on the heap.
constexpr double kMachineCode = 12 << 20;
// Pixels, in recipe sizes, from which on a pass counts as large.
constexpr int64_t kLargeFrom = 4;
// The measured input, in recipe sides; and where memory is short. The more it differs from the
// recipe, the less what differs from pass to pass counts.
constexpr double kMeasuredScale = 1.7;
constexpr double kSmallScale = 0.6;
// Copies of an output that a pass holds for its own sake.
constexpr double kOutputCopies = 1.25;
// Measured once more, since others may pass meanwhile: what is less than the maps that come out, or
// this many times as much.
constexpr double kMostCopies = 1'000;
constexpr int kMostMeasures = 3;
// Copies of the maps that they read which the hungriest heads hold at a time.
constexpr double kHeadCopies = 2;

int64_t Pixels(Size size) { return int64_t{size.width} * size.height; }

// A square of the recipe's shorter side times `scale`, or what of the sizes that the network takes
// is nearest to it.
Size SizeAt(const InputRecipe& recipe, double scale) {
  const int shorter = std::min(recipe.height, recipe.width);
  int side = std::max(recipe.min_side, static_cast<int>(std::lround(scale * shorter)));
  side = (side + recipe.sizes.multiple - 1) / recipe.sizes.multiple * recipe.sizes.multiple;
  Size nearest = {side, side};
  int64_t least = INT64_MAX;
  for (const auto& [height, width] : recipe.sizes.only) {
    const int64_t difference = std::abs(int64_t{height} * width - int64_t{side} * side);
    if (difference >= least) continue;
    least = difference;
    nearest = {width, height};
  }
  return nearest;
}

// A grey picture of that size.
at::Tensor Grey(const ModelInfo& info, double scale) {
  const Size size = SizeAt(info.input, scale);
  return at::full({1, size.height, size.width, 3}, 127, at::TensorOptions(at::kByte));
}

// The most that is on the heap while it lives, beyond what was there before. Looks every
// millisecond, since a pass takes some fifty.
class HeapPeak {
 public:
  HeapPeak() : start_(HeapBytesInUse()), thread_([this] { Watch(); }) {}
  ~HeapPeak() {
    if (thread_.joinable()) Stop();
  }

  // To be called once.
  int64_t Stop() {
    done_ = true;
    thread_.join();
    return std::max(peak_, HeapBytesInUse()) - start_;
  }

 private:
  void Watch() {
    while (!done_) {
      peak_ = std::max(peak_, HeapBytesInUse());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  const int64_t start_;
  int64_t peak_ = 0;  // the thread's until it is joined
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

// The most memory that a pass took while it ran.
absl::StatusOr<int64_t> Measure(Backbone& backbone, const BackbonePass& pass) {
  HeapPeak peak;
  const absl::Status status = backbone.Run(pass).status();
  const int64_t bytes = peak.Stop();
  backbone.EndPass(pass.instance);
  PIXPOOL_RETURN_IF_ERROR(status);
  return bytes;
}

// Of the maps that come out for each pixel of the input: what a pass takes at the least. 0 where
// the C library does not say what is in use.
double MapBytes(const ModelInfo& info, const std::vector<int>& outputs) {
  if (HeapBytesInUse() == 0) return 0;
  double bytes = 0;
  for (const int output : outputs) {
    if (static_cast<size_t>(output) >= info.layers.size()) break;
    const LayerInfo& l = info.layers[static_cast<size_t>(output)];
    bytes += static_cast<double>(sizeof(float)) * l.channels / l.stride / l.stride;
  }
  return bytes;
}

// The same, where other models' passes may come and go meanwhile.
absl::StatusOr<int64_t> MeasureBesideOthers(Backbone& backbone, const ModelInfo& info,
                                            const BackbonePass& pass) {
  const auto pixels = static_cast<double>(pass.images.numel() / 3);
  const auto least = static_cast<int64_t>(pixels * MapBytes(info, pass.outputs));
  int64_t best = 0;
  for (int i = 0; i < kMostMeasures; ++i) {
    if (i > 0) backbone.EndWarmUp();  // it makes its network again
    PIXPOOL_ASSIGN_OR_RETURN(const int64_t bytes, Measure(backbone, pass));
    best = best < least ? bytes : std::min(best, std::max(bytes, least));
    if (best >= least && static_cast<double>(best) <= kMostCopies * static_cast<double>(least)) {
      break;
    }
  }
  return std::max(best, least);
}

Size RecipeSize(const ModelInfo& info) { return {info.input.width, info.input.height}; }

std::vector<int> AllOutputs(const ModelInfo& info) {
  std::vector<int> outputs(static_cast<size_t>(GraphOutputs(info.layers, info.vectors).count()));
  std::iota(outputs.begin(), outputs.end(), 0);
  return outputs;
}

}  // namespace

int64_t EngineBytes(const std::string& path) {
  int64_t bytes = 0;
  for (const auto& file :
       {std::filesystem::path(path), std::filesystem::path(path).replace_extension(".bin")}) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (!error) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

PassParts PassPrices::Of(Size input, const std::vector<int>& outputs,
                         absl::Span<const LayerInfo> layers) const {
  PassParts parts;
  if (IsUsual(input, outputs)) return parts;
  const PassPrice& price = AreUsual(outputs) ? usual_ : all_;
  const auto pixels = static_cast<double>(Pixels(input));
  parts.network = price.network;
  parts.maps = static_cast<int64_t>(price.per_pixel * pixels);
  if (parts.maps == 0) return parts;  // off the CPU
  for (const int output : outputs) {
    // Prefix tokens and vectors are as small at any size.
    if (static_cast<size_t>(output) >= layers.size()) break;
    const LayerInfo& info = layers[static_cast<size_t>(output)];
    const double cells = pixels / info.stride / info.stride;
    parts.heads += static_cast<int64_t>(kHeadCopies * sizeof(float) * cells * info.channels);
  }
  return parts;
}

bool PassPrices::IsLarge(Size input) const {
  return all_.per_pixel > 0 && Pixels(input) > kLargeFrom * Pixels(recipe_);
}

int64_t PassPrices::usual_bytes() const {
  return static_cast<int64_t>(usual_.per_pixel * static_cast<double>(Pixels(recipe_)));
}

bool PassPrices::AreUsual(const std::vector<int>& outputs) const {
  return std::includes(usual_outputs_.begin(), usual_outputs_.end(), outputs.begin(),
                       outputs.end());
}

bool PassPrices::IsUsual(Size input, const std::vector<int>& outputs) const {
  if (!keeps_usual_) return Pixels(input) <= Pixels(recipe_);
  return input == recipe_ && AreUsual(outputs);
}

absl::StatusOr<int64_t> MeasureFirstPass(Backbone& backbone, const ModelInfo& info) {
  if (info.device != "cpu") return 0;
  // What comes with the first pass of all: the engine's threads, for one.
  PIXPOOL_RETURN_IF_ERROR(
      Measure(backbone, {.images = Grey(info, 1), .outputs = info.UsualOutputs()}).status());
  return MeasureBesideOthers(backbone, info,
                             {.images = Grey(info, 1), .outputs = AllOutputs(info)});
}

int64_t LoadingPassBytes(const ModelInfo& info, int64_t first_pass, int64_t pixels) {
  if (first_pass == 0) return 0;
  const auto n = static_cast<double>(pixels);
  double largest_map = 0;
  for (const LayerInfo& layer : info.layers) {
    largest_map =
        std::max(largest_map, sizeof(float) * n * layer.channels / layer.stride / layer.stride);
  }
  const double passes = n / static_cast<double>(Pixels(RecipeSize(info)));
  return static_cast<int64_t>(passes * static_cast<double>(first_pass) + kMachineCode +
                              kHeadCopies * largest_map);
}

absl::StatusOr<PassPrices> MeasurePasses(Backbone& backbone, const ModelInfo& info,
                                         int64_t first_pass, int64_t memory) {
  if (info.device != "cpu") return PassPrices();
  const bool picks = backbone.picks_outputs();
  const std::vector<int> usual_outputs = info.UsualOutputs();
  double others = 0;  // bytes of the other layers' maps, per pixel
  for (const LayerInfo& l : info.layers) {
    if (l.name == info.default_layer) continue;
    others += kOutputCopies * sizeof(float) * l.channels / l.stride / l.stride;
  }
  BackbonePass pass = {.images = Grey(info, kMeasuredScale), .outputs = usual_outputs};
  if (!MemoryHas(memory, LoadingPassBytes(info, first_pass, pass.images.numel() / 3))) {
    const at::Tensor small = Grey(info, kSmallScale);
    // Not where the recipe's size is the least that the model takes.
    if (small.numel() < Grey(info, 1).numel()) pass.images = small;
  }
  pass.large = true;
  if (!picks) pass.outputs = AllOutputs(info);
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t bytes, MeasureBesideOthers(backbone, info, pass));
  const auto pixels = static_cast<double>(pass.images.size(1) * pass.images.size(2));
  const auto total = static_cast<double>(bytes);
  if (!picks) {
    const PassPrice any = {.per_pixel = kFreedFactor * total / pixels};
    return PassPrices(any, any, RecipeSize(info), usual_outputs, false);
  }
  // Each of the two passes had to make its network, which costs the same, so that the difference is
  // that of their maps.
  const double first_pixels = static_cast<double>(Grey(info, 1).numel()) / 3;
  const double first = static_cast<double>(first_pass) - others * first_pixels;
  PassPrice usual;
  if (pixels == first_pixels) {  // a network of one size: all of a pass is taken for its maps
    const PassPrice any = {.network = static_cast<int64_t>(kMachineCode),
                           .per_pixel = std::max(total, first) / pixels};
    return PassPrices(any, any, RecipeSize(info), usual_outputs, true);
  }
  usual.per_pixel =
      std::max(MapBytes(info, usual_outputs), (total - first) / (pixels - first_pixels));
  usual.network =
      static_cast<int64_t>(kMachineCode + std::max(0.0, total - usual.per_pixel * pixels));
  PassPrice all = usual;
  all.per_pixel += others;
  return PassPrices(usual, all, RecipeSize(info), usual_outputs, true);
}

}  // namespace pixpool
