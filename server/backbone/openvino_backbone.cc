// The `openvino` engine: the bundle's IR on OpenVINO's CPU plugin. The one file that includes
// OpenVINO.
#include "server/backbone/backbone.h"

#ifdef PIXPOOL_HAS_OPENVINO
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <openvino/openvino.hpp>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/backbone/network_choice.h"
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

// A network's variants: one thread per pass, some, all.
struct VariantSet {
  std::vector<int> layers;
  std::vector<std::pair<int, std::unique_ptr<Variant>>> by_threads;  // rising
};

class OpenVinoBackbone final : public Backbone {
 public:
  // May throw what OpenVINO throws.
  explicit OpenVinoBackbone(const BackboneOptions& options)
      : options_(options),
        all_layers_(AllLayers(options.layer_count)),
        choice_(UsualKey(options), all_layers_) {
    const auto usual = networks_.emplace(UsualKey(options), MakeSet(UsualKey(options)));
    // Ready for the first request.
    for (auto& [threads, variant] : usual.first->second->by_threads) variant->Request(core_, 0);
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

  void EndWarmUp() override {
    absl::MutexLock lock(&mu_);
    networks_.erase({all_layers_, {}});
  }

 private:
  static std::vector<int> AllLayers(int count) {
    std::vector<int> layers(static_cast<size_t>(count));
    std::iota(layers.begin(), layers.end(), 0);
    return layers;
  }

  // One picture of the recipe's size, for the default layer.
  static NetworkKey UsualKey(const BackboneOptions& options) {
    return {{options.default_layer}, {1, options.usual_height, options.usual_width, 3}};
  }

  // Thread counts that the network is compiled for: those of an instance, all that a pass may ever
  // have, and one between where they are far apart.
  std::vector<int> ThreadCounts() const {
    const int least = options_.threads_per_instance;
    const int most = std::max(least, options_.max_threads);
    std::vector<int> counts = {least};
    if (most >= 8 * least) counts.push_back(most / 4);
    if (most > least) counts.push_back(most);
    return counts;
  }

  // Reads the file again for each network, so that nothing of it stays in memory between.
  std::shared_ptr<VariantSet> MakeSet(const NetworkKey& key) {
    const std::shared_ptr<ov::Model> whole = core_.read_model(options_.path);
    const ov::ResultVector outputs = whole->get_results();
    if (outputs.size() != all_layers_.size()) {
      OPENVINO_THROW("the graph gives ", outputs.size(), " maps, the manifest has ",
                     all_layers_.size(), " layers");
    }
    ov::ResultVector results;
    for (const int layer : key.layers) results.push_back(outputs[static_cast<size_t>(layer)]);
    const auto model = std::make_shared<ov::Model>(results, whole->get_parameters());
    if (!key.shape.empty()) {
      model->reshape(ov::PartialShape(ov::Shape(key.shape.begin(), key.shape.end())));
    }
    auto set = std::make_shared<VariantSet>();
    set->layers = key.layers;
    const std::vector<int> counts = ThreadCounts();
    for (const int threads : counts) {
      // Passes of fewer threads run side by side.
      const int streams = threads == counts.front() ? options_.instances
                                                    : std::max(1, options_.max_threads / threads);
      set->by_threads.emplace_back(
          threads, std::make_unique<Variant>(model, Config(streams, threads), options_.instances));
    }
    return set;
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
    };
  }

  // The network for a pass; it has at least the layers that the pass wants.
  std::shared_ptr<VariantSet> NetworkFor(const BackbonePass& pass) {
    absl::MutexLock lock(&mu_);
    const NetworkKey key = choice_.Choose(pass.layers, pass.images.sizes().vec());
    std::shared_ptr<VariantSet>& set = networks_[key];
    if (set == nullptr) set = MakeSet(key);
    return set;
  }

  std::vector<at::Tensor> RunOrThrow(const BackbonePass& pass) {
    const std::shared_ptr<VariantSet> set = NetworkFor(pass);
    Variant* variant = set->by_threads.front().second.get();
    for (const auto& [threads, wider] : set->by_threads) {
      if (threads <= pass.threads) variant = wider.get();
    }
    ov::InferRequest& request = variant->Request(core_, pass.instance);
    const at::IntArrayRef sides = pass.images.sizes();
    // OpenVINO does not write to its input.
    request.set_input_tensor(
        ov::Tensor(ov::element::u8, ov::Shape(sides.begin(), sides.end()), pass.images.data_ptr()));
    request.infer();
    std::vector<at::Tensor> maps(all_layers_.size());
    for (size_t i = 0; i < set->layers.size(); ++i) {
      ov::Tensor output = request.get_output_tensor(i);
      const ov::Shape shape = output.get_shape();
      maps[static_cast<size_t>(set->layers[i])] =
          at::from_blob(output.data<float>(), std::vector<int64_t>(shape.begin(), shape.end()));
    }
    return maps;
  }

  const BackboneOptions options_;
  ov::Core core_;
  const std::vector<int> all_layers_;

  absl::Mutex mu_;
  NetworkChoice choice_ ABSL_GUARDED_BY(mu_);
  std::map<NetworkKey, std::shared_ptr<VariantSet>> networks_ ABSL_GUARDED_BY(mu_);
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
