// What passes over inputs of 64 to 2048 pixels a side were predicted to take in memory, and what
// they take. Prints a table; README.md says how to run it. Ends with 1 where a pass takes more.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "server/base/cpu_quota.h"
#include "server/base/memory.h"
#include "server/base/memory_limit.h"
#include "server/image/image.h"
#include "server/model/model.h"

namespace pixpool {
namespace {

constexpr int kSides[] = {64, 128, 224, 320, 448, 512, 768, 1024, 1536, 2048};
constexpr double kMiB = 1 << 20;

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "pixpool-pass-memory: %s\n", std::string(value.status().message()).c_str());
  std::exit(1);
}

// The most memory that the process ever had since the last call of ForgetPeak.
int64_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}
void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << 5; }

// Peak of passes over a grey square, from a model that keeps nothing of the last one.
int64_t Measure(Model& model, int side, const std::vector<HeadSpec>& heads) {
  model.DropHeld(0);
  ReturnFreeMemory();
  Image picture(side, side);
  std::fill_n(picture.data(), picture.byte_size(), uint8_t{127});
  ForgetPeak();
  const int64_t before = ResidentBytes();
  const ModelTask task{&picture, heads};
  for (int pass = 0; pass < 2; ++pass) {  // the second one finds the outputs of the first
    ModelResult result;
    model.RunBatch({}, absl::MakeConstSpan(&task, 1), absl::MakeSpan(&result, 1), nullptr);
    if (!result.status.ok()) OrDie<int>(result.status);
  }
  return PeakBytes() - before;
}

int Main(const std::map<std::string, std::string>& args) {
  const int cores = AvailableCpuCount();
  TuneAllocator(cores, AvailableMemoryBytes());
  BoundLibraryCaches();
  const auto arg = [&args](const std::string& name, const std::string& fallback) {
    const auto found = args.find(name);
    return found == args.end() ? fallback : found->second;
  };
  const Bundle bundle = OrDie(OpenBundle(arg("model", "models/efficientnet-lite0/1")));
  const auto model = OrDie(LoadModel(
      bundle,
      {.device = "cpu", .engine = arg("engine", "auto"), .precision = arg("precision", "auto")},
      {.cores = cores}));
  const std::vector<LayerInfo>& layers = model->info().layers;
  const std::string kind = arg("head", "gem");
  const int most_side = std::stoi(arg("most-side", "2048"));
  const auto heads_of = [&](std::vector<std::string> names) {
    std::vector<HeadRequest> requests;
    for (const std::string& name : names) requests.push_back({.kind = kind, .layer = name});
    return OrDie(ValidateHeads(requests, model->info().Scope()));
  };
  std::vector<std::string> all;
  for (const LayerInfo& layer : layers) all.push_back(layer.name);
  const std::vector<std::vector<HeadSpec>> sets = {
      heads_of({model->info().default_layer}),
      heads_of({all[all.size() / 4], all[all.size() / 2], all.back()}), heads_of(all)};
  model->EnterInstanceThread(0);
  bool good = true;
  std::printf("%6s %7s %14s %13s\n", "side", "layers", "predicted MiB", "measured MiB");
  for (const auto& heads : sets) {
    for (const int side : kSides) {
      if (side > most_side) break;
      const int64_t predicted = model->PassBytes({side, side}, heads);
      const int64_t measured = Measure(*model, side, heads);
      // The usual pass is not counted.
      const bool over = predicted > 0 && measured > predicted;
      good = good && !over;
      std::printf("%6d %7zu %14.1f %13.1f%s\n", side, heads.size(),
                  static_cast<double>(predicted) / kMiB, static_cast<double>(measured) / kMiB,
                  over ? "  more than predicted" : "");
    }
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace pixpool

int main(int argc, char** argv) {
  std::map<std::string, std::string> args;  // --name=value
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    if (!text.starts_with("--") || equals == std::string::npos) {
      std::fputs("usage: pixpool-pass-memory [--model=BUNDLE] [--engine=E] [--precision=P]\n",
                 stderr);
      return 2;
    }
    args[text.substr(2, equals - 2)] = text.substr(equals + 1);
  }
  return pixpool::Main(args);
}
