#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <exception>
#include <utility>

#include "server/backbone/backbone.h"
#include "server/base/text.h"
#include "server/torch/torch_env.h"

namespace pixpool {
namespace {

// A frozen TorchScript module. All instances share it, weights and all: running it does not change
// it.
class TorchScriptBackbone final : public Backbone {
 public:
  TorchScriptBackbone(torch::jit::Module module, const BackboneOptions& options)
      : module_(std::move(module)),
        device_(options.device),
        threads_(options.threads_per_instance) {}

  void EnterThread(int) override { SetTorchThreads(threads_); }

  absl::StatusOr<std::vector<at::Tensor>> Run(const BackbonePass& pass) override {
    try {
      const c10::InferenceMode inference;
      // The profiling executor would compile again for new batch and picture sizes and stall for
      // 0.1 to 0.3 s each time. The frozen graph as it is runs just as fast.
      const torch::jit::GraphOptimizerEnabledGuard as_it_is(false);
      std::vector<c10::IValue> inputs = {pass.images.to(device_)};
      return ToTensors(module_.forward(std::move(inputs)));
    } catch (const std::exception& e) {
      return absl::InternalError(FirstLine(e.what()));
    }
  }

 private:
  static absl::StatusOr<std::vector<at::Tensor>> ToTensors(const c10::IValue& output) {
    std::vector<at::Tensor> tensors;
    if (output.isTensor()) {
      tensors.push_back(output.toTensor());
    } else if (output.isTensorList()) {
      tensors = output.toTensorVector();
    } else if (output.isTuple()) {
      for (const c10::IValue& element : output.toTupleRef().elements()) {
        if (!element.isTensor()) {
          return absl::InternalError("the graph's output is a tuple of more than tensors");
        }
        tensors.push_back(element.toTensor());
      }
    } else {
      return absl::InternalError("the graph's output is not a tuple of tensors");
    }
    for (at::Tensor& tensor : tensors) tensor = tensor.to(at::kFloat);
    return tensors;
  }

  // Module::forward is not const, though running a frozen module changes nothing that can be seen.
  torch::jit::Module module_;
  const c10::Device device_;
  const int threads_;
};

absl::StatusOr<std::unique_ptr<Backbone>> Load(const BackboneOptions& options) {
  try {
    // Freezing folds batch norms into convolutions; it must see the weights on the device where
    // they stay.
    torch::jit::Module module = torch::jit::load(options.path, c10::Device(options.device));
    module.eval();
    return std::make_unique<TorchScriptBackbone>(torch::jit::freeze(module), options);
  } catch (const std::exception& e) {
    return absl::FailedPreconditionError(
        Concat("TorchScript file ", options.path, " cannot be loaded: ", FirstLine(e.what())));
  }
}

}  // namespace

const BackboneLoader kLoadTorchScript = Load;

}  // namespace pixpool
