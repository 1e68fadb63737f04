// LoadModel, and the model that runs on LibTorch tensors whatever the backbone's engine.
#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "server/backbone/backbone.h"
#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/memory_limit.h"
#include "server/base/memory_room.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/bundle_data.h"
#include "server/bundle/graph_outputs.h"
#include "server/model/check_outputs.h"
#include "server/model/golden.h"
#include "server/model/model_tensors.h"
#include "server/model/pass_bytes.h"
#include "server/model/projections.h"
#include "server/model/run_batch.h"
#include "server/torch/torch_env.h"

namespace pixpool {
namespace {

void SortAndRemoveTwins(std::vector<int>* values) {
  std::sort(values->begin(), values->end());
  values->erase(std::unique(values->begin(), values->end()), values->end());
}

void AddOutputs(const HeadSource& source, std::vector<int>* outputs) {
  for (const int output : {source.map, source.prefix_tokens, source.vector}) {
    if (output >= 0) outputs->push_back(output);
  }
}

// Positions of the graph's outputs that heads read.
std::vector<int> OutputsOf(absl::Span<const HeadSpec> heads) {
  std::vector<int> outputs;
  for (const HeadSpec& head : heads) AddOutputs(head.source, &outputs);
  SortAndRemoveTwins(&outputs);
  return outputs;
}

// Those of a batch.
std::vector<int> WantedOutputs(absl::Span<const ModelTask> tasks) {
  std::vector<int> outputs;
  for (const ModelTask& task : tasks) {
    for (const HeadSpec& head : task.heads) AddOutputs(head.source, &outputs);
  }
  SortAndRemoveTwins(&outputs);
  return outputs;
}

class TorchModel final : public Model {
 public:
  TorchModel(ModelInfo info, const BackboneOptions& options, std::unique_ptr<Backbone> backbone,
             ModelTensors tensors)
      : info_(std::move(info)),
        options_(options),
        backbone_(std::move(backbone)),
        tensors_(std::move(tensors)) {}

  const ModelInfo& info() const override { return info_; }
  int instance_count() const override { return options_.instances; }
  // On CPUs two pictures in one pass take longer than one after the other (docs/performance.md):
  // their activations no longer fit the caches.
  int useful_batch_size() const override {
    return info_.device == "cpu" ? 1 : std::numeric_limits<int>::max();
  }
  void EnterInstanceThread(int instance) override { backbone_->EnterThread(instance); }

  void RunBatch(const BatchPlace& place, absl::Span<const ModelTask> tasks,
                absl::Span<ModelResult> results, ModelRunTimes* times) override {
    if (tasks.empty()) return;
    absl::Status status;
    try {
      status = Run(place, tasks, results, times);
    } catch (const std::exception& e) {
      status = absl::InternalError(FirstLine(e.what()));
    }
    if (status.ok()) return;
    // The cause goes to the log; clients get no detail of our bugs. Want of memory is none.
    Log(LogLevel::kError, "inference_failed",
        {{"model", info_.name}, {"error", ToStd(status.message())}});
    for (ModelResult& result : results) {
      result.outputs.clear();
      result.regions.clear();
      result.status = TellsOfNoMemory(ToStd(status.message()))
                          ? NoMemoryError()
                          : MakeError(ErrorReason::kInferenceFailed, "the model failed");
    }
  }

  int64_t PassBytes(Size input, absl::Span<const HeadSpec> heads) const override {
    return prices_.Of(input, OutputsOf(heads), info_.layers).total();
  }
  int64_t UsualBytes() const override { return options_.instances * prices_.usual_bytes(); }
  int64_t HeldBytes() const override { return backbone_->HeldBytes(); }
  void DropHeld(int64_t most) override { backbone_->DropHeld(most); }
  void AgeHeld() override { backbone_->AgeHeld(); }

  // Has passes cost what they do in a model of the same make. To come before WarmUp.
  void TakePrices(const TorchModel& like) {
    const auto make = [](const LayerInfo& l) { return std::tuple(l.name, l.channels, l.stride); };
    const auto same = [&make](const LayerInfo& a, const LayerInfo& b) {
      return make(a) == make(b);
    };
    const ModelInfo& other = like.info_;
    const auto sizes = [](const InputRecipe& r) {
      return std::tuple(r.height, r.width, r.min_side);
    };
    // Layers of the same names and sizes may be those of a wider network.
    const bool same_size = std::abs(engine_bytes_ - like.engine_bytes_) <= engine_bytes_ / 64;
    priced_ = same_size && info_.engine == other.engine && info_.precision == other.precision &&
              info_.device == other.device && info_.default_layer == other.default_layer &&
              sizes(info_.input) == sizes(other.input) &&
              info_.vectors.size() == other.vectors.size() &&
              std::equal(info_.layers.begin(), info_.layers.end(), other.layers.begin(),
                         other.layers.end(), same);
    if (!priced_) return;
    first_pass_ = like.first_pass_;
    prices_ = like.prices_;
  }

  // Lets go what only loading needed, and finds out what passes cost.
  absl::Status EndWarmUp(int64_t memory) {
    backbone_->EndWarmUp();
    if (priced_) return absl::OkStatus();
    PIXPOOL_ASSIGN_OR_RETURN(prices_, MeasurePasses(*backbone_, info_, first_pass_, memory));
    backbone_->EndWarmUp();
    return absl::OkStatus();
  }

  // Runs pictures of the recipe's size and of another, and checks what comes out against the
  // manifest.
  absl::Status WarmUp(int64_t memory) {
    if (!priced_) {
      PIXPOOL_ASSIGN_OR_RETURN(first_pass_, MeasureFirstPass(*backbone_, info_));
    }
    std::vector<int> all(static_cast<size_t>(options_.output_count));
    std::iota(all.begin(), all.end(), 0);
    const InputRecipe& recipe = info_.input;
    for (const auto& [height, width] : {std::pair(recipe.height, recipe.width),
                                        recipe.sizes.Another(recipe.height, recipe.width)}) {
      Image picture(width, height);
      std::fill_n(picture.data(), picture.byte_size(), uint8_t{127});
      const ModelTask task{&picture, {}};
      for (const std::vector<ModelTask>& tasks : {std::vector(1, task), std::vector(2, task)}) {
        PIXPOOL_ASSIGN_OR_RETURN(const at::Tensor inputs, StackInputs(tasks));
        PIXPOOL_RETURN_IF_ERROR(MakeRoom(memory, inputs));
        absl::StatusOr<std::vector<at::Tensor>> outputs =
            backbone_->Run({.images = inputs, .outputs = all});
        backbone_->EndPass(0);
        if (!outputs.ok()) {
          return absl::FailedPreconditionError(Concat("the backbone fails on ", tasks.size(),
                                                      " pictures of ", width, " x ", height,
                                                      " pixels: ", outputs.status().message()));
        }
        PIXPOOL_RETURN_IF_ERROR(CheckOutputs(info_, *outputs, all, inputs));
        PIXPOOL_RETURN_IF_ERROR(CheckFinite(info_, *outputs));
      }
    }
    return absl::OkStatus();
  }

 private:
  // Sees to it that there is memory for a pass for all outputs, by what the first of them took.
  absl::Status MakeRoom(int64_t memory, const at::Tensor& inputs) {
    const int64_t bytes = LoadingPassBytes(info_, first_pass_, inputs.numel() / 3);
    if (MemoryHas(memory, bytes)) return absl::OkStatus();
    backbone_->EndWarmUp();  // what passes before it have left
    ReturnFreeMemory();
    if (MemoryHas(memory, bytes)) return absl::OkStatus();
    // What is kept for the usual pass of each instance is less than what the first pass took.
    const int64_t models = ResidentBytes();
    const int64_t later = options_.instances * first_pass_ / 4 * 3 + kLeastForRequests;
    return MemoryTooLittle(memory, models, "passes that check them", bytes,
                           models + std::max(bytes, later));
  }

  absl::Status Run(const BatchPlace& place, absl::Span<const ModelTask> tasks,
                   absl::Span<ModelResult> results, ModelRunTimes* times) {
    const c10::InferenceMode inference;
    const Clock* clock = Clock::Real();
    const TimePoint start = clock->Now();
    PIXPOOL_ASSIGN_OR_RETURN(const at::Tensor inputs, StackInputs(tasks));
    const std::vector<int> wanted = WantedOutputs(tasks);
    BackbonePass pass = {.instance = place.instance,
                         .images = inputs,
                         .outputs = wanted,
                         .threads = ThreadsFor(place)};
    const Size size = {tasks.front().input->width(), tasks.front().input->height()};
    const PassParts parts = prices_.Of(size, pass.outputs, info_.layers);
    pass.large = prices_.IsLarge(size);
    pass.bytes = static_cast<int64_t>(tasks.size()) * parts.maps;
    pass.network_bytes = parts.network;
    const absl::Cleanup end = [&] {
      backbone_->EndPass(place.instance);
      // Else the heap would keep it, once for each thread.
      if (parts.total() > HeapKeeps()) ReturnFreeMemory();
    };
    PIXPOOL_ASSIGN_OR_RETURN(const std::vector<at::Tensor> outputs, backbone_->Run(pass));
    // A graph may do something else for each input.
    PIXPOOL_RETURN_IF_ERROR(CheckOutputs(info_, outputs, wanted, inputs));
    Synchronize(c10::Device(info_.device));
    const TimePoint middle = clock->Now();
    RunHeads(outputs, tensors_, info_.layers, tasks, results);
    if (times != nullptr) *times = {middle - start, clock->Now() - middle};
    return absl::OkStatus();
  }

  // The cores, shared out over what there is to do.
  int ThreadsFor(const BatchPlace& place) const {
    return std::max(options_.threads_per_instance,
                    options_.max_threads / std::max(1, place.pictures_in_flight));
  }

  // Waits for the device, so that the backbone's time is its own and not the heads'.
  static void Synchronize(const c10::Device& device) {
    if (device.is_cpu()) return;
    c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
  }

  const ModelInfo info_;
  const BackboneOptions options_;
  const int64_t engine_bytes_ = EngineBytes(options_.path);
  const std::unique_ptr<Backbone> backbone_;
  const ModelTensors tensors_;
  // Constant after EndWarmUp.
  bool priced_ = false;  // by another model
  int64_t first_pass_ = 0;
  PassPrices prices_;
};

struct EngineChoice {
  const BackboneEngine* engine;
  const EngineFile* file;
};

const EngineFile* FindFile(const Manifest& manifest, std::string_view engine,
                           std::string_view precision, std::string_view device) {
  const std::string_view kind = device.substr(0, device.find(':'));
  for (const EngineFile& file : manifest.engines) {
    if (!file.device.empty() && file.device != kind) continue;
    if (file.engine == engine && file.precision == precision) return &file;
  }
  return nullptr;
}

// The first engine that fits device and bundle. Precision "auto" is float32, and another one only
// where no engine has that: vectors of different precisions are not to be mixed unasked.
absl::StatusOr<EngineChoice> ChooseEngine(const Manifest& manifest, const ModelOptions& wanted,
                                          const std::string& device) {
  const std::string& wanted_engine = wanted.engine;
  std::vector<std::string_view> precisions = {wanted.precision.value()};
  if (precisions[0] == "auto") precisions = {std::begin(kPrecisions), std::end(kPrecisions)};
  for (const std::string_view precision : precisions) {
    for (const BackboneEngine& engine : BackboneEngines()) {
      if (wanted_engine == "auto" ? engine.only_by_name : wanted_engine != engine.name) continue;
      if (!engine.runs_on(device)) continue;
      const EngineFile* const file = FindFile(manifest, engine.name, precision, device);
      if (file != nullptr) return EngineChoice{&engine, file};
    }
  }
  std::string known;
  for (const BackboneEngine& engine : BackboneEngines()) {
    known += Concat(known.empty() ? "" : ", ", engine.name);
  }
  std::string held;
  for (const EngineFile& file : manifest.engines) {
    held += Concat(held.empty() ? "" : ", ", file.engine, " ", file.precision,
                   file.device.empty() ? "" : Concat(" for ", file.device));
  }
  return absl::FailedPreconditionError(Concat(
      "no backbone for engine '", wanted_engine, "' and precision '", wanted.precision.value(),
      "' on device '", device, "': the bundle holds ", held, "; this server runs ", known));
}

BackboneOptions BackboneOptionsFrom(const Bundle& bundle, const EngineChoice& choice,
                                    const ModelOptions& options, const ModelInfo& info,
                                    int process_cores) {
  const std::string& device = info.device;
  BackboneOptions o;
  o.path = Concat(bundle.dir, "/", choice.file->path);
  o.device = device;
  o.instruction_set = choice.file->instruction_set;
  o.min_side = choice.file->min_side;
  if (!choice.file->aligned_path.empty()) {
    o.aligned_path = Concat(bundle.dir, "/", choice.file->aligned_path);
    o.aligned_multiple = choice.file->aligned_multiple;
  }
  o.output_count = GraphOutputs(info.layers, info.vectors).count();
  o.usual_outputs = info.UsualOutputs();
  o.usual_height = info.input.height;
  o.usual_width = info.input.width;
  const int cores = device == "cpu" ? std::max(1, process_cores) : 1;
  const bool widens = choice.engine->widens_when_alone && device == "cpu";
  // Without adaptation, one instance with all cores: a lone picture gets the whole machine. A GPU
  // needs one instance and next to no CPU.
  o.instances = options.instances;
  if (o.instances == 0) o.instances = widens ? cores : 1;
  o.threads_per_instance = options.threads_per_instance;
  if (o.threads_per_instance == 0) o.threads_per_instance = std::max(1, cores / o.instances);
  // A number that was asked for is kept to.
  o.max_threads = widens && options.threads_per_instance == 0 ? cores : o.threads_per_instance;
  return o;
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
  info.input.min_side = std::max(kMinInputSide, file.min_side);
  info.layers = m.layers;
  info.vectors = m.vectors;
  info.default_layer = m.default_layer;
  info.filters = m.filters;
  if (m.has_classifier) {
    info.classifier_layer = m.classifier.layer;
    info.classifier_vector = m.classifier.vector;
    info.class_count = m.classifier.class_count;
    if (!m.classifier.labels_path.empty()) {
      PIXPOOL_ASSIGN_OR_RETURN(info.labels, ReadLabels(bundle, m.classifier.labels_path,
                                                       static_cast<size_t>(info.class_count)));
    }
  }
  return info;
}

absl::StatusOr<std::unique_ptr<Model>> Load(const Bundle& bundle, const ModelOptions& options,
                                            const Machine& machine, const Model* like) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(options.device));
  PIXPOOL_ASSIGN_OR_RETURN(const EngineChoice choice,
                           ChooseEngine(bundle.manifest, options, device));
  PIXPOOL_ASSIGN_OR_RETURN(ModelInfo info, MakeInfo(bundle, *choice.file, device));
  PIXPOOL_ASSIGN_OR_RETURN(info.projections, ReadProjections(bundle));
  PIXPOOL_ASSIGN_OR_RETURN(ModelTensors tensors, LoadModelTensors(bundle, device));
  const BackboneOptions backbone_options =
      BackboneOptionsFrom(bundle, choice, options, info, machine.cores);
  PIXPOOL_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone,
                           choice.engine->load(backbone_options));
  auto model = std::make_unique<TorchModel>(std::move(info), backbone_options, std::move(backbone),
                                            std::move(tensors));
  if (const auto* const other = dynamic_cast<const TorchModel*>(like)) model->TakePrices(*other);
  model->EnterInstanceThread(0);
  if (absl::Status status = model->WarmUp(machine.memory); !status.ok()) {
    return absl::Status(status.code(), Concat("bundle ", bundle.dir, ": ", status.message()));
  }
  PIXPOOL_RETURN_IF_ERROR(CheckGolden(
      bundle, *model, choice.file->golden_min_cosine.value_or(bundle.manifest.golden.min_cosine)));
  if (absl::Status status = model->EndWarmUp(machine.memory); !status.ok()) {
    return absl::Status(status.code(), Concat("bundle ", bundle.dir, ": ", status.message()));
  }
  return model;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Bundle& bundle, const ModelOptions& options,
                                                 const Machine& machine, const Model* like) {
  try {
    return Load(bundle, options, machine, like);
  } catch (const std::exception& e) {
    return absl::FailedPreconditionError(
        Concat("bundle ", bundle.dir, " cannot be loaded: ", FirstLine(e.what())));
  }
}

}  // namespace pixpool
