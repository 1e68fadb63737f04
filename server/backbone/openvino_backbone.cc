// The `openvino` engine: the bundle's IR on OpenVINO's CPU plugin. The one file that includes
// OpenVINO.
#include "server/backbone/backbone.h"

#ifdef PIXPOOL_HAS_OPENVINO
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <openvino/openvino.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/backbone/kept_file.h"
#include "server/backbone/network_choice.h"
#include "server/backbone/network_store.h"
#include "server/base/memory.h"
#include "server/base/text.h"
#include "server/torch/torch_env.h"

namespace pixpool {
namespace {

// An error of OpenVINO on one line: its own begin with the places in its source that it came
// through.
std::string Reason(const std::exception& e) {
  std::string text = e.what();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// Where the weights of an IR are.
std::string WeightsPath(const std::string& path) {
  return std::filesystem::path(path).replace_extension(".bin").string();
}

// A network for one number of threads a pass. Compiled when first needed. Thread-safe; each
// instance has a request of its own.
class Variant {
 public:
  Variant(std::shared_ptr<ov::Model> model, ov::AnyMap config, int instances)
      : model_(std::move(model)),
        config_(std::move(config)),
        requests_(static_cast<size_t>(instances)) {}

  // The request of an instance. May throw what OpenVINO throws.
  ov::InferRequest& Request(ov::Core& core, int instance) {
    std::call_once(once_, [&] {
      compiled_ = core.compile_model(model_, "CPU", config_);
      model_.reset();  // and with the last of them the file's weights leave the memory
    });
    std::optional<ov::InferRequest>& request = requests_[static_cast<size_t>(instance)];
    if (!request) request = compiled_.create_infer_request();
    return *request;
  }

 private:
  std::shared_ptr<ov::Model> model_;  // until it is compiled
  const ov::AnyMap config_;
  std::once_flag once_;
  ov::CompiledModel compiled_;
  std::vector<std::optional<ov::InferRequest>> requests_;  // each used by its instance's thread
};

// A network with its variants: one thread per pass, some, all. Nothing is read or compiled before
// the first pass. Thread-safe.
class Network {
 public:
  explicit Network(std::vector<int> outputs) : outputs_(std::move(outputs)) {}

  // `make` gives the variants; it runs once, and again if it threw.
  template <typename Make>
  Variant& Get(size_t variant, Make make) {
    std::call_once(once_, [&] { variants_ = make(); });
    return *variants_[variant];
  }

  // Positions in the graph of its outputs, in their order.
  const std::vector<int>& outputs() const { return outputs_; }

 private:
  const std::vector<int> outputs_;
  std::once_flag once_;
  std::vector<std::unique_ptr<Variant>> variants_;  // one for each number of threads
};

class OpenVinoBackbone final : public Backbone {
 public:
  // May throw what OpenVINO throws.
  explicit OpenVinoBackbone(const BackboneOptions& options)
      : options_(options),
        graph_(KeptFile(options.path).Text()),
        weights_(WeightsPath(options.path)),
        all_outputs_(AllOutputs(options.output_count)),
        usual_(UsualKey(options)),
        thread_counts_(ThreadCounts(options)),
        choice_(usual_, all_outputs_),
        networks_(usual_) {
    // Ready for the first request.
    const auto usual = std::make_shared<Network>(usual_.outputs);
    for (size_t i = 0; i < thread_counts_.size(); ++i) {
      GetVariant(*usual, usual_, i).Request(core_, 0);
    }
    absl::MutexLock lock(&mu_);
    networks_.Take(usual_, {}, [&] { return usual; });
    networks_.Release(0);
  }

  // The heads, which LibTorch computes on this thread, are too small to share out.
  void EnterThread(int) override { SetTorchThreads(1); }

  absl::StatusOr<std::vector<at::Tensor>> Run(const BackbonePass& pass) override {
    try {
      return RunOrThrow(pass);
    } catch (const std::exception& e) {
      return absl::InternalError(Reason(e));
    }
  }

  void EndPass(int instance) override {
    absl::MutexLock lock(&mu_);
    networks_.Release(instance);
  }

  bool picks_outputs() const override { return true; }

  void EndWarmUp() override {
    GiveUp([](Networks& networks) { return networks.DropAll(); });
  }

  int64_t HeldBytes() const override {
    absl::MutexLock lock(&mu_);
    return networks_.held();
  }

  void DropHeld(int64_t most) override {
    GiveUp([most](Networks& networks) { return networks.DropTo(most); });
  }

  void AgeHeld() override {
    // Some of what a network held is free only a while after it is gone.
    if (freed_later_.exchange(false)) ReturnFreeMemory();
    GiveUp([](Networks& networks) { return networks.Age(); });
  }

 private:
  using Networks = NetworkStore<Network>;

  static std::vector<int> AllOutputs(int count) {
    std::vector<int> outputs(static_cast<size_t>(count));
    std::iota(outputs.begin(), outputs.end(), 0);
    return outputs;
  }

  // One picture of the recipe's size, for the usual outputs.
  static NetworkKey UsualKey(const BackboneOptions& options) {
    return {options.usual_outputs, {1, options.usual_height, options.usual_width, 3}};
  }

  // Thread counts that networks are compiled for, rising: those of an instance, all that a pass may
  // ever have, and one between where they are far apart.
  static std::vector<int> ThreadCounts(const BackboneOptions& options) {
    const int least = options.threads_per_instance;
    const int most = std::max(least, options.max_threads);
    std::vector<int> counts = {least};
    if (most >= 8 * least) counts.push_back(most / 4);
    if (most > least) counts.push_back(most);
    return counts;
  }

  // The network for a pass and its key; it has at least the outputs that the pass wants.
  std::pair<NetworkKey, std::shared_ptr<Network>> NetworkFor(const BackbonePass& pass,
                                                             const NetworkUse& use) {
    absl::MutexLock lock(&mu_);
    const NetworkKey key = choice_.Choose(pass.outputs, pass.images.sizes().vec(), pass.large);
    return {key, networks_.Take(key, use, [&] { return std::make_shared<Network>(key.outputs); })};
  }

  Variant& GetVariant(Network& network, const NetworkKey& key, size_t variant) {
    return network.Get(variant, [&] { return MakeVariants(key); });
  }

  // The graph as it was at the start, whatever lies at its path now. Networks keep some of the
  // weights where they lie, so all of them share the one copy.
  std::shared_ptr<ov::Model> ReadModel() {
    if (weights_.size() == 0) return core_.read_model(graph_, ov::Tensor());
    return core_.read_model(graph_,
                            ov::Tensor(ov::element::u8, {weights_.size()}, weights_.data()));
  }

  std::vector<std::unique_ptr<Variant>> MakeVariants(const NetworkKey& key) {
    const std::shared_ptr<ov::Model> whole = ReadModel();
    const ov::ResultVector outputs = whole->get_results();
    if (outputs.size() != all_outputs_.size()) {
      OPENVINO_THROW("the graph gives ", outputs.size(), " outputs, the manifest asks for ",
                     all_outputs_.size());
    }
    ov::ResultVector results;
    for (const int output : key.outputs) results.push_back(outputs[static_cast<size_t>(output)]);
    const auto model = std::make_shared<ov::Model>(results, whole->get_parameters());
    if (!key.shape.empty()) {
      model->reshape(ov::PartialShape(ov::Shape(key.shape.begin(), key.shape.end())));
    }
    std::vector<std::unique_ptr<Variant>> variants;
    for (const int threads : thread_counts_) {
      // Passes of fewer threads run side by side.
      const int streams = threads == thread_counts_.front()
                              ? options_.instances
                              : std::max(1, options_.max_threads / threads);
      variants.push_back(
          std::make_unique<Variant>(model, Config(streams, threads), options_.instances));
    }
    return variants;
  }

  static ov::AnyMap Config(int streams, int threads) {
    return {
        // Newer processors would otherwise compute in bfloat16.
        ov::hint::inference_precision(ov::element::f32),
        ov::num_streams(streams),
        ov::inference_num_threads(streams * threads),
        // Decoding shares the cores, and neighbours pinned to one core would sleep beside an idle
        // one.
        ov::hint::enable_cpu_pinning(false),
        // What an open network prepares for each shape of each of its layers, by stream: enough for
        // a few sizes that take turns. As it comes it is 5,000, half a gigabyte a stream.
        {"CPU_RUNTIME_CACHE_CAPACITY", 256},
    };
  }

  // Lets `choose` take networks out, and destroys them without the lock.
  template <typename Choose>
  void GiveUp(Choose choose) ABSL_LOCKS_EXCLUDED(mu_) {
    Networks::Dropped dropped;
    {
      absl::MutexLock lock(&mu_);
      dropped = choose(networks_);
      for (const auto& [key, network] : dropped) choice_.Forget(key);
    }
    if (dropped.empty()) return;
    dropped.clear();
    ReturnFreeMemory();
    freed_later_ = true;
  }

  std::vector<at::Tensor> RunOrThrow(const BackbonePass& pass) {
    size_t variant = 0;
    for (size_t i = 0; i < thread_counts_.size(); ++i) {
      if (thread_counts_[i] <= pass.threads) variant = i;
    }
    const auto [key, network] = NetworkFor(pass, {.instance = pass.instance,
                                                  .variant = static_cast<int>(variant),
                                                  .network_bytes = pass.network_bytes,
                                                  .pass_bytes = pass.bytes});
    ov::InferRequest& request = GetVariant(*network, key, variant).Request(core_, pass.instance);
    const at::IntArrayRef sides = pass.images.sizes();
    // OpenVINO does not write to its input.
    request.set_input_tensor(
        ov::Tensor(ov::element::u8, ov::Shape(sides.begin(), sides.end()), pass.images.data_ptr()));
    request.infer();
    std::vector<at::Tensor> outputs(all_outputs_.size());
    for (size_t i = 0; i < network->outputs().size(); ++i) {
      ov::Tensor output = request.get_output_tensor(i);
      const ov::Shape shape = output.get_shape();
      outputs[static_cast<size_t>(network->outputs()[i])] =
          at::from_blob(output.data<float>(), std::vector<int64_t>(shape.begin(), shape.end()));
    }
    return outputs;
  }

  const BackboneOptions options_;
  const std::string graph_;  // as XML
  const KeptFile weights_;
  ov::Core core_;
  const std::vector<int> all_outputs_;
  const NetworkKey usual_;
  const std::vector<int> thread_counts_;

  std::atomic<bool> freed_later_{false};
  mutable absl::Mutex mu_;
  NetworkChoice choice_ ABSL_GUARDED_BY(mu_);
  Networks networks_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<std::unique_ptr<Backbone>> Load(const BackboneOptions& options) {
  // OpenVINO would try its readers of other formats on any other file.
  if (!options.path.ends_with(".xml")) {
    return absl::FailedPreconditionError(
        Concat("OpenVINO file ", options.path, " cannot be loaded: its name must end in .xml"));
  }
  try {
    return std::make_unique<OpenVinoBackbone>(options);
  } catch (const std::exception& e) {
    return absl::FailedPreconditionError(
        Concat("OpenVINO file ", options.path, " cannot be loaded: ", Reason(e)));
  }
}

}  // namespace

const BackboneLoader kLoadOpenVino = Load;

}  // namespace pixpool
#else  // not of this build
const pixpool::BackboneLoader pixpool::kLoadOpenVino = nullptr;
#endif
