// The order of the stages, and nothing else:
//   Extract (caller's thread):  model -> plan -> admit -> queue
//   decode pool:                decode -> preprocess -> batcher
//   instance threads:           backbone -> heads (model_runner.cc) -> the sum of several passes
//   draw pool:                  box and picture of class activation maps, where asked for
//   reply pool:                 done
// Pool goes the short way of tensor_pooler.cc.
#include "server/pipeline/pipeline.h"

#include <exception>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "server/base/cpu_quota.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/pipeline/decode_picture.h"
#include "server/pipeline/draw.h"
#include "server/pipeline/memory_plan.h"
#include "server/pipeline/model_runner.h"
#include "server/pipeline/passes.h"
#include "server/pipeline/plan_request.h"
#include "server/pipeline/tensor_pooler.h"
#include "server/pipeline/work.h"

namespace pixpool {
namespace {

constexpr std::string_view kRaw =
    "raw";  // what is counted for pixels, next to the formats of files

// The status of the whole request, given those of its images: a call that is over, or that failed
// in every image through our own fault, fails as a call.
absl::Status RequestStatus(const ExtractResult& result) {
  size_t internal = 0;
  for (const ImageFeatures& image : result.images) {
    if (image.status.ok()) continue;
    const auto details = GetErrorDetails(image.status);
    if (details && (details->reason == ErrorReason::kCancelled ||
                    details->reason == ErrorReason::kDeadlineInQueue)) {
      return image.status;
    }
    if (absl::IsInternal(image.status)) ++internal;
  }
  return internal > 0 && internal == result.images.size() ? result.images[0].status
                                                          : absl::OkStatus();
}

// The options with what the process decides for 0.
PipelineOptions Resolved(PipelineOptions options) {
  if (options.decode_threads == 0) options.decode_threads = AvailableCpuCount();
  return options;
}

}  // namespace

class Pipeline::Impl {
 public:
  Impl(PipelineOptions options, ModelRegistry* registry, Metrics* metrics, const Clock* clock)
      : options_(Resolved(std::move(options))),
        registry_(registry),
        metrics_(metrics),
        clock_(clock),
        admission_(options_.admission),
        reply_pool_("reply", options_.reply_threads),
        draw_pool_("draw", options_.decode_threads),
        decode_pool_(std::make_unique<ThreadPool>("decode", options_.decode_threads)),
        pooler_(options_, &admission_, decode_pool_.get(), metrics_, clock_) {
    std::vector<std::string_view> formats = FormatNames();
    formats.push_back(kRaw);
    metrics_->DeclareFormats(formats);
  }

  ~Impl() {
    // Upstream first: decoding submits to runners, runners draw and reply.
    decode_pool_.reset();
    absl::MutexLock lock(&mu_);
    runners_.clear();
  }

  void Extract(ExtractRequest request, ExtractDone done) {
    auto work = std::make_shared<RequestWork>();
    work->request = std::move(request);
    work->done = std::move(done);
    if (absl::Status status = Admit(work.get()); !status.ok()) {
      work->result.status = std::move(status);
      work->done(std::move(work->result));
      return;
    }
    Queue(work);
  }

  void Pool(PoolRequest request, PoolDone done) {
    pooler_.Pool(std::move(request), std::move(done));
  }

  absl::Status MayArrive(const CallContext& call) const {
    PIXPOOL_RETURN_IF_ERROR(call.Check(clock_->Now(), "admission"));
    return absl::OkStatus();
  }

  bool Drain(absl::Duration timeout) {
    admission_.Close();
    return admission_.WaitUntilIdle(timeout);
  }

  absl::Status BoundMemory(int64_t resident) {
    const int64_t memory = MemoryOf(options_.memory);
    if (memory == 0) return absl::OkStatus();
    const ModelsMemory models = MemoryOfModels(*registry_, options_.input.max_side);
    PIXPOOL_ASSIGN_OR_RETURN(const MemoryPlan plan,
                             PlanMemory(memory, resident + models.usual_passes, models.largest_pass,
                                        options_.admission));
    memory_.SetCapacity(plan.network);
    admission_.Lower(plan.max_bytes, plan.max_pixels);
    LogMemoryPlan(memory, plan);
    return absl::OkStatus();
  }

  const PipelineOptions& options() const { return options_; }

  GaugeReadings Gauges() const {
    GaugeReadings g;
    const Admission::Usage usage = admission_.usage();
    const AdmissionLimits limits = admission_.limits();
    g.queue_capacity = static_cast<double>(limits.max_requests);
    g.requests_in_flight = static_cast<double>(usage.requests);
    g.bytes_in_flight = static_cast<double>(usage.bytes);
    g.bytes_capacity = static_cast<double>(limits.max_bytes);
    g.pixels_in_flight = static_cast<double>(usage.pixels);
    g.pixels_capacity = static_cast<double>(limits.max_pixels);
    g.queue_depth = decode_pool_->queue_depth();
    g.decode_threads = decode_pool_->thread_count();
    g.draw_threads = draw_pool_.thread_count();
    g.reply_threads = reply_pool_.thread_count();
    const MemoryBudget::Usage memory = memory_.usage();
    g.network_memory = static_cast<double>(memory.leased + memory.held);
    g.network_memory_capacity = static_cast<double>(memory.capacity);
    g.passes_waiting = static_cast<double>(memory.waiting);
    g.queue_depth += static_cast<double>(memory.waiting);
    absl::MutexLock lock(&mu_);
    for (const auto& [model, runner] : runners_) {
      g.queue_depth += runner->depth();
      g.instance_threads += runner->thread_count();
    }
    return g;
  }

 private:
  // Everything before the queue, on the caller's thread: cheap, and without effect where it fails.
  absl::Status Admit(RequestWork* work) {
    const ExtractRequest& request = work->request;
    PIXPOOL_RETURN_IF_ERROR(request.context->Check(clock_->Now(), "admission"));
    PIXPOOL_ASSIGN_OR_RETURN(work->result.model, registry_->Get(request.model, request.version));
    const absl::StatusOr<AdmissionCost> cost = PlanRequest(options_, work, memory_.capacity());
    CountPictures(*work);
    PIXPOOL_RETURN_IF_ERROR(cost.status());
    PIXPOOL_ASSIGN_OR_RETURN(work->result.permit, AcquirePermit(&admission_, metrics_, *cost));
    work->admitted = clock_->Now();
    return absl::OkStatus();
  }

  // Counts the pictures whose headers could be read, by format and size.
  void CountPictures(const RequestWork& work) {
    for (const ImageState& image : work.images) {
      const ImageHeader& header = image.header;
      if (header.width == 0) continue;
      const ImageInput& source = *image.source;
      metrics_->ImageSeen(
          source.is_raw ? kRaw : FormatName(header.format),
          static_cast<double>(source.is_raw ? source.raw.size() : source.encoded.size()),
          static_cast<double>(header.width) * header.height);
    }
  }

  void Queue(const std::shared_ptr<RequestWork>& work) {
    // One more than there are images, so that the request cannot end while it is being queued.
    work->remaining.store(static_cast<int>(work->images.size()) + 1);
    for (size_t i = 0; i < work->images.size(); ++i) {
      if (!work->images[i].features.status.ok()) {
        Complete(work);
        continue;
      }
      preparing_.fetch_add(1);
      decode_pool_->Schedule(
          [this, image = ImageWork{.work = work, .index = static_cast<int>(i)}]() mutable {
            Prepare(std::move(image));
          });
    }
    Complete(work);
  }

  // Decodes and preprocesses one image, then hands its passes to the batcher.
  void Prepare(ImageWork image) {
    absl::Cleanup prepared = [this] { preparing_.fetch_sub(1); };
    const TimePoint start = clock_->Now();
    RecordStage(image, Stage::kQueue, start - image.work->admitted);
    absl::Status status = image.work->context().Check(start, "decode");
    if (!status.ok()) {
      DropImage(image, status, Stage::kDecode, metrics_);
      return FailPasses(image);
    }
    std::vector<ImageWork> passes;
    try {
      status = DecodeAndPreprocess(image, &passes);
    } catch (const std::exception& e) {
      // Out of memory, mostly: this request fails, the server lives.
      Log(LogLevel::kError, "prepare_failed", {{"what", e.what()}});
      status = MakeError(ErrorReason::kInferenceFailed, "the image could not be processed");
    }
    if (!status.ok()) {
      image.slot().status = PrependField(status, Concat("images[", image.index, "]"));
      return FailPasses(image);
    }
    ModelRunner* const runner = Runner(image.work->result.model);
    // Before the instance thread wakes, which may put this one to sleep: it would count the picture
    // twice and leave it a share of the cores only.
    std::move(prepared).Invoke();
    for (ImageWork& pass : passes) {
      pass.ready = clock_->Now();
      runner->Submit(std::move(pass));
    }
  }

  // Ends an image that never became passes; its status is in the first one's slot.
  void FailPasses(const ImageWork& image) {
    ImageState& state = image.state();
    if (state.passes != nullptr) {
      state.features.status = image.slot().status;
      state.passes->remaining.store(0);
    }
    Complete(image.work);
  }

  absl::Status DecodeAndPreprocess(const ImageWork& image, std::vector<ImageWork>* passes) {
    const TimePoint start = clock_->Now();
    PIXPOOL_ASSIGN_OR_RETURN(Image picture, DecodePicture(image));
    const TimePoint decoded = clock_->Now();
    RecordStage(image, Stage::kDecode, decoded - start);
    *passes = MakePasses(image, std::move(picture));
    RecordStage(image, Stage::kPreprocess, clock_->Now() - decoded);
    return absl::OkStatus();
  }

  void RecordStage(const ImageWork& image, Stage stage, TimeDuration d) {
    StageSlot(image.slot(), stage) = d;
    metrics_->StageTime(stage, ToSeconds(d));
  }

  ModelRunner* Runner(const std::shared_ptr<const LoadedModel>& model) {
    absl::MutexLock lock(&mu_);
    std::unique_ptr<ModelRunner>& runner = runners_[model.get()];
    if (runner == nullptr) {
      runner =
          std::make_unique<ModelRunner>(model, options_, &preparing_, &memory_, metrics_, clock_,
                                        [this](ImageWork image) { PassDone(std::move(image)); });
    }
    return runner.get();
  }

  // One pass over an image has come to its end; the last one goes on with the image. On an instance
  // thread.
  void PassDone(ImageWork image) {
    if (PassGroup* const passes = image.state().passes.get()) {
      if (passes->remaining.fetch_sub(1) != 1) return;
      CombinePasses(image);
    }
    const bool good = image.state().features.status.ok();
    if (!good || !image.work->draws) return Complete(image.work);
    draw_pool_.Schedule([this, image = std::move(image)] {
      Draw(image);
      Complete(image.work);
    });
  }

  void Draw(const ImageWork& image) {
    RequestWork& work = *image.work;
    ImageFeatures& features = image.state().features;
    const TimePoint start = clock_->Now();
    absl::Status status = work.context().Check(start, "draw");
    if (!status.ok()) {
      metrics_->Cancelled(Stage::kDraw, CancelReason(status));
    } else {
      try {
        status = DrawActivationMaps(work, image.state());
      } catch (const std::exception& e) {
        Log(LogLevel::kError, "draw_failed", {{"what", e.what()}});
        status = MakeError(ErrorReason::kInferenceFailed, "a class activation map failed");
      }
    }
    if (!status.ok()) {
      features.status = std::move(status);
      features.outputs.clear();
    }
    const TimeDuration took = clock_->Now() - start;
    StageSlot(features, Stage::kDraw) = took;
    metrics_->StageTime(Stage::kDraw, ToSeconds(took));
  }

  // One image of the request has come to its end; the last one sends the reply.
  void Complete(const std::shared_ptr<RequestWork>& work) {
    if (work->remaining.fetch_sub(1) != 1) return;
    reply_pool_.Schedule([this, work] {
      work->result.images.reserve(work->images.size());
      for (ImageState& image : work->images) {
        metrics_->ImageDone(image.features.status);
        work->result.images.push_back(std::move(image.features));
      }
      work->result.status = RequestStatus(work->result);
      work->done(std::move(work->result));
    });
  }

  // Constant after construction.
  const PipelineOptions options_;
  ModelRegistry* const registry_;
  Metrics* const metrics_;
  const Clock* const clock_;

  // Own synchronisation. The pools outlive what feeds them.
  Admission admission_;
  std::atomic<int> preparing_ = 0;  // images that wait for decoding or are decoded
  ThreadPool reply_pool_;
  ThreadPool draw_pool_;
  MemoryBudget memory_;

  mutable absl::Mutex mu_;
  absl::flat_hash_map<const LoadedModel*, std::unique_ptr<ModelRunner>> runners_
      ABSL_GUARDED_BY(mu_);

  std::unique_ptr<ThreadPool> decode_pool_;
  TensorPooler pooler_;
};

Pipeline::Pipeline(PipelineOptions options, ModelRegistry* registry, Metrics* metrics,
                   const Clock* clock)
    : impl_(std::make_unique<Impl>(std::move(options), registry, metrics, clock)) {}
Pipeline::~Pipeline() = default;

void Pipeline::Extract(ExtractRequest request, ExtractDone done) {
  impl_->Extract(std::move(request), std::move(done));
}
void Pipeline::Pool(PoolRequest request, PoolDone done) {
  impl_->Pool(std::move(request), std::move(done));
}
absl::Status Pipeline::MayArrive(const CallContext& call) const { return impl_->MayArrive(call); }
absl::Status Pipeline::BoundMemory(int64_t resident) { return impl_->BoundMemory(resident); }
bool Pipeline::Drain(absl::Duration timeout) { return impl_->Drain(timeout); }
const PipelineOptions& Pipeline::options() const { return impl_->options(); }
GaugeReadings Pipeline::Gauges() const { return impl_->Gauges(); }

}  // namespace pixpool
