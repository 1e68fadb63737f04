// LoadModel, and the model that runs on LibTorch tensors whatever the backbone's engine.
#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "server/base/error.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/model/backbone.h"
#include "server/model/bundle_data.h"
#include "server/model/golden.h"
#include "server/model/model_tensors.h"
#include "server/model/run_batch.h"
#include "server/model/torch_env.h"

namespace pixpool {
namespace {

class TorchModel final : public Model {
 public:
  TorchModel(ModelInfo info, int instances, std::unique_ptr<Backbone> backbone,
             ModelTensors tensors)
      : info_(std::move(info)),
        instances_(instances),
        backbone_(std::move(backbone)),
        tensors_(std::move(tensors)) {}

  const ModelInfo& info() const override { return info_; }
  int instance_count() const override { return instances_; }
  void EnterInstanceThread(int instance) override { backbone_->EnterThread(instance); }

  void RunBatch(int instance, absl::Span<const ModelTask> tasks, absl::Span<ModelResult> results,
                ModelRunTimes* times) override {
    if (tasks.empty()) return;
    absl::Status status;
    try {
      status = Run(instance, tasks, results, times);
    } catch (const std::exception& e) {
      status = absl::InternalError(FirstLine(e.what()));
    }
    if (status.ok()) return;
    // The cause goes to the log; clients get no detail of our bugs.
    Log(LogLevel::kError, "inference_failed",
        {{"model", info_.name}, {"error", ToStd(status.message())}});
    for (ModelResult& result : results) {
      result.outputs.clear();
      result.status = MakeError(ErrorReason::kInferenceFailed, "the model failed");
    }
  }

  // Runs pictures of the recipe's size and of another one, and checks what comes out against the
  // manifest.
  absl::Status WarmUp() {
    for (const auto& [height, width] : {std::pair(info_.input.height, info_.input.width),
                                        std::pair(info_.input.height + 32, info_.input.width)}) {
      Image picture(width, height);
      std::fill_n(picture.data(), picture.byte_size(), uint8_t{127});
      const ModelTask task{&picture, {}};
      for (const std::vector<ModelTask>& tasks : {std::vector(1, task), std::vector(2, task)}) {
        PIXPOOL_ASSIGN_OR_RETURN(const at::Tensor inputs, StackInputs(tasks));
        absl::StatusOr<std::vector<at::Tensor>> maps = backbone_->Run(0, inputs);
        if (!maps.ok()) {
          return absl::FailedPreconditionError(Concat("the backbone fails on ", tasks.size(),
                                                      " pictures of ", width, " x ", height,
                                                      " pixels: ", maps.status().message()));
        }
        PIXPOOL_RETURN_IF_ERROR(CheckMaps(*maps, static_cast<int64_t>(tasks.size())));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Run(int instance, absl::Span<const ModelTask> tasks, absl::Span<ModelResult> results,
                   ModelRunTimes* times) {
    const c10::InferenceMode inference;
    const Clock* clock = Clock::Real();
    const TimePoint start = clock->Now();
    PIXPOOL_ASSIGN_OR_RETURN(const at::Tensor inputs, StackInputs(tasks));
    PIXPOOL_ASSIGN_OR_RETURN(const std::vector<at::Tensor> maps, backbone_->Run(instance, inputs));
    Synchronize(maps.front().device());
    const TimePoint middle = clock->Now();
    RunHeads(maps, tensors_, info_.layers, tasks, results);
    if (times != nullptr) *times = {middle - start, clock->Now() - middle};
    return absl::OkStatus();
  }

  // Waits for the device, so that the backbone's time is its own and not the heads'.
  static void Synchronize(const c10::Device& device) {
    if (device.is_cpu()) return;
    c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
  }

  absl::Status CheckMaps(const std::vector<at::Tensor>& maps, int64_t batch) const {
    if (maps.size() != info_.layers.size()) {
      return absl::FailedPreconditionError(Concat("the graph gives ", maps.size(),
                                                  " maps, the manifest has ", info_.layers.size(),
                                                  " layers"));
    }
    for (size_t i = 0; i < maps.size(); ++i) {
      const at::Tensor& map = maps[i];
      const LayerInfo& layer = info_.layers[i];
      if (map.dim() != 4 || map.size(0) != batch || map.size(1) != layer.channels ||
          map.numel() == 0) {
        std::string shape;
        for (int64_t side : map.sizes()) shape += Concat(shape.empty() ? "" : ", ", side);
        return absl::FailedPreconditionError(Concat("layer '", layer.name, "' has shape [", shape,
                                                    "], the manifest says [", batch, ", ",
                                                    layer.channels, ", height, width]"));
      }
      if (!at::isfinite(map).all().item<bool>()) {
        return absl::FailedPreconditionError(
            Concat("layer '", layer.name, "' has values that are not finite on a grey picture"));
      }
    }
    return absl::OkStatus();
  }

  const ModelInfo info_;
  const int instances_;
  const std::unique_ptr<Backbone> backbone_;
  const ModelTensors tensors_;
};

struct EngineChoice {
  const BackboneEngine* engine;
  const EngineFile* file;
};

absl::StatusOr<EngineChoice> ChooseEngine(const Manifest& manifest, const std::string& wanted,
                                          const std::string& device) {
  std::string known;
  for (const BackboneEngine& engine : BackboneEngines()) {
    known += Concat(known.empty() ? "" : ", ", engine.name);
    if ((wanted != "auto" && wanted != engine.name) || !engine.runs_on(device)) continue;
    for (const EngineFile& file : manifest.engines) {
      if (file.engine == engine.name) return EngineChoice{&engine, &file};
    }
  }
  std::string held;
  for (const EngineFile& file : manifest.engines) {
    held += Concat(held.empty() ? "" : ", ", file.engine);
  }
  return absl::FailedPreconditionError(Concat("no backbone for engine '", wanted, "' on device '",
                                              device, "': the bundle holds ", held,
                                              ", this server runs ", known));
}

absl::StatusOr<ModelInfo> MakeInfo(const Bundle& bundle, const EngineFile& file,
                                   const std::string& device) {
  const Manifest& m = bundle.manifest;
  ModelInfo info;
  info.name = m.name;
  info.version = m.version;
  info.license = m.license;
  info.weights_sha256 = m.weights_sha256;
  info.engine = file.engine;
  info.device = device;
  info.precision = file.precision;
  info.input = m.input;
  info.layers = m.layers;
  info.default_layer = m.default_layer;
  info.filters = m.filters;
  if (m.has_classifier) {
    info.classifier_layer = m.classifier.layer;
    info.class_count = m.classifier.class_count;
    if (!m.classifier.labels_path.empty()) {
      PIXPOOL_ASSIGN_OR_RETURN(info.labels, ReadLabels(bundle, m.classifier.labels_path,
                                                       static_cast<size_t>(info.class_count)));
    }
  }
  return info;
}

absl::StatusOr<std::unique_ptr<Model>> Load(const Bundle& bundle, const ModelOptions& options) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(options.device));
  PIXPOOL_ASSIGN_OR_RETURN(const EngineChoice choice,
                           ChooseEngine(bundle.manifest, options.engine, device));
  PIXPOOL_ASSIGN_OR_RETURN(ModelInfo info, MakeInfo(bundle, *choice.file, device));
  PIXPOOL_ASSIGN_OR_RETURN(info.projections, ReadProjections(bundle));
  PIXPOOL_ASSIGN_OR_RETURN(ModelTensors tensors, LoadModelTensors(bundle, device));
  BackboneOptions backbone_options;
  backbone_options.path = bundle.dir + "/" + choice.file->path;
  backbone_options.device = device;
  backbone_options.instances = std::max(1, options.instances);
  backbone_options.threads_per_instance = std::max(1, options.threads_per_instance);
  PIXPOOL_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone,
                           choice.engine->load(backbone_options));
  auto model = std::make_unique<TorchModel>(std::move(info), backbone_options.instances,
                                            std::move(backbone), std::move(tensors));
  model->EnterInstanceThread(0);
  if (absl::Status status = model->WarmUp(); !status.ok()) {
    return absl::Status(status.code(), Concat("bundle ", bundle.dir, ": ", status.message()));
  }
  PIXPOOL_RETURN_IF_ERROR(CheckGolden(bundle, *model));
  return model;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Bundle& bundle,
                                                 const ModelOptions& options) {
  try {
    return Load(bundle, options);
  } catch (const std::exception& e) {
    return absl::FailedPreconditionError(
        Concat("bundle ", bundle.dir, " cannot be loaded: ", FirstLine(e.what())));
  }
}

}  // namespace pixpool
