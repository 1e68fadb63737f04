// The `aotinductor` engine: the bundle's .pt2, machine code that PyTorch compiled at export.
#include <c10/core/Device.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "server/backbone/aotinductor_package.h"
#include "server/backbone/backbone.h"
#include "server/base/text.h"
#include "server/torch/torch_env.h"

namespace pixpool {
namespace {

// A package in memory. Its folder outlives it: CUDA kernels are read from there when first used.
class Package {
 public:
  // May throw what LibTorch throws.
  Package(const std::string& path, const BackboneOptions& options)
      : files_(path),
        loader_(files_.folder(), "model", /*run_single_threaded=*/false,
                static_cast<size_t>(options.instances), c10::Device(options.device).index()) {}

  // Any thread; at most as many at a time as there are instances, which share the weights.
  std::vector<at::Tensor> Run(const at::Tensor& images) { return loader_.run({images}); }

 private:
  const UnpackedPackage files_;
  torch::inductor::AOTIModelPackageLoader loader_;
};

class AotInductorBackbone final : public Backbone {
 public:
  // May throw what LibTorch throws.
  explicit AotInductorBackbone(const BackboneOptions& options)
      : options_(options), device_(options.device), any_(options.path, options) {
    if (!options.aligned_path.empty()) aligned_.emplace(options.aligned_path, options);
  }

  void EnterThread(int) override { SetTorchThreads(options_.threads_per_instance); }

  absl::StatusOr<std::vector<at::Tensor>> Run(const BackbonePass& pass) override {
    const int64_t height = pass.images.size(1);
    const int64_t width = pass.images.size(2);
    // The compiled code has no check of its own.
    if (height < options_.min_side || width < options_.min_side) {
      return absl::InternalError(Concat("the compiled graph takes pictures from ",
                                        options_.min_side, " pixels a side, not ", width, " x ",
                                        height));
    }
    const bool aligned = aligned_.has_value() && height % options_.aligned_multiple == 0 &&
                         width % options_.aligned_multiple == 0;
    try {
      const c10::InferenceMode inference;
      return (aligned ? *aligned_ : any_).Run(pass.images.to(device_));
    } catch (const std::exception& e) {
      return absl::InternalError(FirstLine(e.what()));
    }
  }

 private:
  const BackboneOptions options_;
  const c10::Device device_;
  Package any_;
  std::optional<Package> aligned_;  // the faster one, for sides that are multiples
};

// Whether this CPU has what code for an instruction set needs. A missing one would end the process
// with SIGILL, at the first request perhaps.
bool CpuRuns(std::string_view instruction_set) {
#ifdef __x86_64__
  if (instruction_set == "x86-64-v3") {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  }
#endif
  return instruction_set.empty();
}

absl::StatusOr<std::unique_ptr<Backbone>> Load(const BackboneOptions& options) {
  if (!CpuRuns(options.instruction_set)) {
    return absl::FailedPreconditionError(
        Concat("AOTInductor package ", options.path, " is compiled for ", options.instruction_set,
               ", which this CPU does not run: export the bundle for it, or use another engine"));
  }
  try {
    return std::make_unique<AotInductorBackbone>(options);
  } catch (const std::exception& e) {
    return absl::FailedPreconditionError(
        Concat("AOTInductor package ", options.path, " cannot be loaded: ", FirstLine(e.what())));
  }
}

}  // namespace

const BackboneLoader kLoadAotInductor = Load;

}  // namespace pixpool
