// The order of the stages, and nothing else:
//   Extract (caller's thread): model -> validate -> admit -> queue
//   cpu pool:                  decode -> preprocess -> batcher
//   instance threads:          backbone -> heads (model_runner.cc)
//   reply pool:                done
#include "server/engine/engine.h"
#include "server/base/text.h"

#include <cstring>
#include <exception>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/thread_pool.h"
#include "server/engine/model_runner.h"
#include "server/engine/validate.h"
#include "server/engine/work.h"

namespace pixpool {
namespace {

Image CopyRaw(const ImageInput& image) {
  Image out(image.raw_width, image.raw_height);
  std::memcpy(out.data(), image.raw.data(), image.raw.size());
  return out;
}

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

}  // namespace

void DropImage(const ImageWork& image, const absl::Status& status, Stage stage, Metrics* metrics) {
  image.slot().status = status;
  metrics->Cancelled(
      stage, absl::IsCancelled(status) ? ErrorReason::kCancelled : ErrorReason::kDeadlineInQueue);
}

class Engine::Impl {
 public:
  Impl(EngineOptions options, ModelRegistry* registry, Metrics* metrics, const Clock* clock)
      : options_(std::move(options)),
        registry_(registry),
        metrics_(metrics),
        clock_(clock),
        admission_(options_.admission),
        reply_pool_("reply", options_.reply_threads),
        cpu_pool_(std::make_unique<ThreadPool>("decode", options_.decode_threads)) {}

  ~Impl() {
    // Upstream first: decoding submits to runners, runners reply.
    cpu_pool_.reset();
    absl::MutexLock lock(&mu_);
    runners_.clear();
  }

  void Extract(ExtractRequest request, Done done) {
    auto work = std::make_shared<RequestWork>();
    work->request = std::move(request);
    work->done = std::move(done);
    if (absl::Status status = Admit(work.get()); !status.ok()) {
      work->result.status = std::move(status);
      work->result.images.clear();
      work->done(std::move(work->result));
      return;
    }
    Queue(work);
  }

  bool Drain(absl::Duration timeout) {
    admission_.Close();
    return admission_.WaitUntilIdle(timeout);
  }

  const EngineOptions& options() const { return options_; }

  GaugeReadings Gauges() const {
    GaugeReadings g;
    const Admission::Usage usage = admission_.usage();
    const AdmissionLimits& limits = admission_.limits();
    g.queue_capacity = static_cast<double>(limits.max_requests);
    g.requests_in_flight = static_cast<double>(usage.requests);
    g.bytes_in_flight = static_cast<double>(usage.bytes);
    g.bytes_capacity = static_cast<double>(limits.max_bytes);
    g.pixels_in_flight = static_cast<double>(usage.pixels);
    g.pixels_capacity = static_cast<double>(limits.max_pixels);
    g.queue_depth = cpu_pool_->queue_depth();
    g.cpu_threads = cpu_pool_->thread_count();
    g.reply_threads = reply_pool_.thread_count();
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
    AdmissionCost cost;
    PIXPOOL_RETURN_IF_ERROR(ValidateRequest(options_, metrics_, work, &cost));
    auto permit = admission_.Acquire(cost);
    if (!permit.ok()) {
      if (const auto details = GetErrorDetails(permit.status())) metrics_->Shed(details->reason);
      return permit.status();
    }
    work->permit = *std::move(permit);
    work->admitted = clock_->Now();
    return absl::OkStatus();
  }

  void Queue(const std::shared_ptr<RequestWork>& work) {
    // One more than there are images, so that the request cannot end while it is being queued.
    work->remaining.store(static_cast<int>(work->result.images.size()) + 1);
    for (size_t i = 0; i < work->result.images.size(); ++i) {
      if (!work->result.images[i].status.ok()) {
        Complete(work);
        continue;
      }
      cpu_pool_->Schedule(
          [this, image = ImageWork{.work = work, .index = static_cast<int>(i)}]() mutable {
            Prepare(std::move(image));
          });
    }
    Complete(work);
  }

  // Decodes and preprocesses one image, then hands it to the batcher.
  void Prepare(ImageWork image) {
    const TimePoint start = clock_->Now();
    RecordStage(image, Stage::kQueue, start - image.work->admitted);
    absl::Status status = image.work->context().Check(start, "decode");
    if (!status.ok()) {
      DropImage(image, status, Stage::kDecode, metrics_);
      return Complete(image.work);
    }
    try {
      status = DecodeAndPreprocess(&image);
    } catch (const std::exception& e) {
      // Out of memory, mostly: this request fails, the server lives.
      Log(LogLevel::kError, "prepare_failed", {{"what", e.what()}});
      status = MakeError(ErrorReason::kInferenceFailed, "the image could not be processed");
    }
    if (!status.ok()) {
      image.slot().status = PrependField(status, Concat("images[", image.index, "]"));
      return Complete(image.work);
    }
    image.ready = clock_->Now();
    ModelRunner* const runner = Runner(image.work->result.model);
    runner->Submit(std::move(image));
  }

  absl::Status DecodeAndPreprocess(ImageWork* image) {
    const RequestWork& work = *image->work;
    const size_t index = static_cast<size_t>(image->index);
    const ImageInput& source = work.request.images[index];
    const TimePoint start = clock_->Now();
    Image picture;
    if (source.is_raw) {
      picture = CopyRaw(source);
    } else {
      const DecodeOptions options{.apply_exif = work.plan.apply_exif,
                                  .background = work.plan.background};
      PIXPOOL_ASSIGN_OR_RETURN(picture, DecodeImage(source.encoded, work.headers[index], options));
    }
    const TimePoint decoded = clock_->Now();
    RecordStage(*image, Stage::kDecode, decoded - start);
    image->input = Preprocess(std::move(picture), work.plan);
    RecordStage(*image, Stage::kPreprocess, clock_->Now() - decoded);
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
      runner = std::make_unique<ModelRunner>(
          model, options_, metrics_, clock_,
          [this](const std::shared_ptr<RequestWork>& work) { Complete(work); });
    }
    return runner.get();
  }

  // One image of the request has come to its end; the last one sends the reply.
  void Complete(const std::shared_ptr<RequestWork>& work) {
    if (work->remaining.fetch_sub(1) != 1) return;
    reply_pool_.Schedule([this, work] {
      for (const ImageFeatures& image : work->result.images) metrics_->ImageDone(image.status);
      work->result.status = RequestStatus(work->result);
      work->done(std::move(work->result));
      work->permit.Release();
    });
  }

  // Constant after construction.
  const EngineOptions options_;
  ModelRegistry* const registry_;
  Metrics* const metrics_;
  const Clock* const clock_;

  // Own synchronisation. The reply pool outlives what feeds it.
  Admission admission_;
  ThreadPool reply_pool_;

  mutable absl::Mutex mu_;
  absl::flat_hash_map<const LoadedModel*, std::unique_ptr<ModelRunner>> runners_
      ABSL_GUARDED_BY(mu_);

  std::unique_ptr<ThreadPool> cpu_pool_;
};

Engine::Engine(EngineOptions options, ModelRegistry* registry, Metrics* metrics, const Clock* clock)
    : impl_(std::make_unique<Impl>(std::move(options), registry, metrics, clock)) {}
Engine::~Engine() = default;

void Engine::Extract(ExtractRequest request, Done done) {
  impl_->Extract(std::move(request), std::move(done));
}
bool Engine::Drain(absl::Duration timeout) { return impl_->Drain(timeout); }
const EngineOptions& Engine::options() const { return impl_->options(); }
GaugeReadings Engine::Gauges() const { return impl_->Gauges(); }

}  // namespace pixpool
