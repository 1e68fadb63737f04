// The order of the stages, and nothing else:
//   Extract (caller's thread):  model (cold_calls.h) -> plan -> admit -> queue (work_queue.h)
//   decode pool:                decode -> preprocess -> batcher; further passes -> queue
//   instance threads:           backbone -> heads (model_runner.cc) -> the sum of several passes
//   draw pool:                  box and picture of class activation maps, where asked for
//   reply pool:                 done; Pool goes the short way of tensor_pooler.cc
#include "server/pipeline/pipeline.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "server/base/cpu_quota.h"
#include "server/base/guarded.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/pipeline/draw.h"
#include "server/pipeline/memory_plan.h"
#include "server/pipeline/model_readings.h"
#include "server/pipeline/model_runners.h"
#include "server/pipeline/passes.h"
#include "server/pipeline/plan_request.h"
#include "server/pipeline/tensor_pooler.h"
#include "server/pipeline/work.h"
#include "server/pipeline/work_queue.h"
#include "server/pipeline/work_times.h"

namespace pixpool {
namespace {

// What clients read where a stage threw.
constexpr char kRequestFailed[] = "the request failed";
constexpr char kImageFailed[] = "the image could not be processed";

// The options with what the process decides for 0.
PipelineOptions Resolved(PipelineOptions options) {
  options.decode_threads = ThreadCount(options.decode_threads);
  return options;
}

}  // namespace

class Pipeline::Impl {
 public:
  Impl(PipelineOptions options, ModelRegistry* registry, Metrics* metrics, const Clock* clock,
       DecodeWorkers* workers)
      : options_(Resolved(std::move(options))),
        workers_(workers),
        registry_(registry),
        metrics_(metrics),
        clock_(clock),
        admission_(options_.admission, options_.decode_threads, clock),
        queue_([this](int depth) { return admission_.has_backlog(depth); }),
        reply_pool_("reply", options_.reply_threads),
        draw_pool_("draw", options_.decode_threads),
        runners_(options_, &preparing_, &memory_, metrics_, clock_,
                 [this](ImageWork image) { PassDone(std::move(image)); }),
        decode_pool_(std::make_unique<ThreadPool>("decode", options_.decode_threads)),
        pooler_(options_, &admission_, &queue_, &times_, metrics_, clock_) {
    DeclarePictures(metrics_);
    for (int i = 0; i < options_.decode_threads; ++i) {
      decode_pool_->Schedule([this] { queue_.Serve(); });
    }
  }

  ~Impl() {
    // Upstream first: decoding submits to runners, runners draw and reply.
    queue_.Close();
    decode_pool_.reset();
    runners_.Stop();
  }

  void Extract(ExtractRequest request, ExtractDone done) {
    std::shared_ptr<RequestWork> work;
    absl::Status status = Guarded("admit_failed", kRequestFailed, [&] {
      work = std::make_shared<RequestWork>();
      work->request = std::move(request);
      return Admit(work.get());
    });
    if (!status.ok()) {
      ExtractResult refused;
      if (work != nullptr) refused = std::move(work->result);
      refused.status = std::move(status);
      return done(std::move(refused));
    }
    work->done = std::move(done);
    Queue(work);
  }

  void Pool(PoolRequest request, PoolDone done) {
    pooler_.Pool(std::move(request), std::move(done));
  }

  absl::Status MayArrive(const CallContext& call) {
    PIXPOOL_RETURN_IF_ERROR(call.Check(clock_->Now(), "admission"));
    return CountRefusal(admission_.MayArrive(call), call, metrics_);
  }

  bool Drain(absl::Duration timeout) {
    admission_.Close();
    return admission_.WaitUntilIdle(timeout);
  }

  absl::Status Progress(double times) const { return runners_.Progress(times); }

  bool Forget(const Model& model) {
    runners_.End(&model);
    times_.Forget(model);
    return queue_.ForgetLane(&model);
  }

  absl::Status BoundMemory(int64_t resident) {
    return ShareMemory(resident, options_, *registry_, &memory_, &admission_);
  }

  Admission* admission() { return &admission_; }
  const PipelineOptions& options() const { return options_; }

  Readings Gauges() const {
    Readings g;
    ReadAdmission(admission_, &g);
    g.decode_threads = decode_pool_->thread_count();
    g.draw_threads = draw_pool_.thread_count();
    g.reply_threads = reply_pool_.thread_count();
    const MemoryBudget::Usage memory = memory_.usage();
    g.network_memory = static_cast<double>(memory.leased + memory.held);
    g.network_memory_capacity = static_cast<double>(memory.capacity);
    g.passes_waiting = static_cast<double>(memory.waiting);
    ReadModels(*registry_, queue_, runners_, &pooler_, clock_->Now(), &g);
    return g;
  }

 private:
  // Everything before the queue, on the caller's thread: cheap, and without effect where it fails.
  absl::Status Admit(RequestWork* work) {
    const ExtractRequest& request = work->request;
    PIXPOOL_RETURN_IF_ERROR(request.context->Check(clock_->Now(), "admission"));
    work->result.model = std::move(work->request.loaded);
    if (work->result.model == nullptr) {
      PIXPOOL_ASSIGN_OR_RETURN(work->result.model, registry_->Get(request.model, request.version));
    }
    absl::StatusOr<AdmissionCost> cost = PlanRequest(options_, work, memory_.capacity());
    CountPictures(*work, metrics_);
    PIXPOOL_RETURN_IF_ERROR(cost.status());
    cost->images = 0;
    for (ImageState& image : work->images) {
      if (!image.features.status.ok()) continue;
      cost->images += 1;
      times_.Predict(*work, &image);
      cost->seconds += image.predicted_seconds;
    }
    PIXPOOL_ASSIGN_OR_RETURN(work->result.permit,
                             AcquirePermit(&admission_, metrics_, *cost, *request.context));
    work->result.admitted = work->admitted = clock_->Now();
    return absl::OkStatus();
  }

  void Queue(const std::shared_ptr<RequestWork>& work) {
    // One more than there are images, so that the request cannot end while it is being queued.
    work->remaining.store(static_cast<int>(work->images.size()) + 1);
    for (size_t i = 0; i < work->images.size(); ++i) {
      if (!work->images[i].features.status.ok()) {
        FinishOne(work);
        continue;
      }
      preparing_.fetch_add(1);
      const absl::Status queued =
          Guarded("queue_failed", kRequestFailed, [&] { return Push(work, static_cast<int>(i)); });
      if (queued.ok()) continue;
      preparing_.fetch_sub(1);
      const ImageWork image = {.work = work, .index = static_cast<int>(i)};
      image.slot().status = queued;
      FailPasses(image);
    }
    FinishOne(work);
  }

  absl::Status Push(const std::shared_ptr<RequestWork>& work, int index) {
    ImageState& image = work->images[static_cast<size_t>(index)];
    WorkQueue::Entry entry = EntryOf(work, image.decode_seconds, image.pass_seconds);
    image.has_long_pass = entry.crew.key != nullptr;
    if (!image.has_long_pass && image.decode_seconds >= kLongSeconds) {
      entry.crew = {&queue_, options_.decode_threads};
    }
    entry.work = [this, work, index](WorkQueue::Turn turn) {
      Prepare(WithTurn({.work = work, .index = index}, std::move(turn)));
    };
    queue_.Push(std::move(entry));
    return absl::OkStatus();
  }

  // One more pass over an image waits for a turn of its own, so that other callers' work goes
  // between.
  void QueuePass(ImageWork pass) {
    std::shared_ptr<ImageWork> kept;
    preparing_.fetch_add(1);
    const absl::Status queued = Guarded("queue_failed", kImageFailed, [&] {
      kept = std::make_shared<ImageWork>(std::move(pass));
      WorkQueue::Entry entry = EntryOf(
          kept->work, 0, times_.PredictPass(*kept->work, kept->state(), kept->input_size()));
      entry.begun = true;
      entry.work = [this, kept](WorkQueue::Turn turn) {
        preparing_.fetch_sub(1);
        runners_.Submit(WithTurn(std::move(*kept), std::move(turn)));
      };
      queue_.Push(std::move(entry));
      return absl::OkStatus();
    });
    if (queued.ok()) return;
    preparing_.fetch_sub(1);
    if (kept != nullptr) pass = std::move(*kept);
    pass.slot().status = queued;
    PassDone(std::move(pass));
  }

  // An entry for decoding and a pass of so many seconds, without its work.
  WorkQueue::Entry EntryOf(const std::shared_ptr<RequestWork>& work, double decode, double pass) {
    const CallContext& call = work->context();
    const Model& model = *work->result.model->model;
    const bool dear = times_.IsDear(*work, pass);
    const bool heavy = dear && pass >= kHeavySeconds && pass >= 4 * decode;
    WorkQueue::Entry entry = {.lane = &model,
                              .window = WindowOf(model, heavy),
                              .priority = call.priority(),
                              .caller = call.caller(),
                              .seconds = decode + pass,
                              .since = clock_->Now()};
    if (dear && pass >= kLongSeconds) entry.crew = {&model, model.instance_count()};
    entry.over = [this, work] { return work->context().Over(clock_->Now()); };
    return entry;
  }

  // How many pictures may be between the queue and a model's backbone: what its instances take at
  // once, or what can be decoded meanwhile, and one more, so that none waits for the next. Half of
  // them will do where passes are heavy and decoding is not: others wait for what is ahead.
  int WindowOf(const Model& model, bool heavy) const {
    const int batch = std::min(options_.max_batch_size.value(), model.useful_batch_size());
    const int at_once = model.instance_count() * batch;
    if (heavy) return std::max(1, at_once / 2);
    return std::max(options_.decode_threads.value(), at_once) + 1;
  }

  // Decodes and preprocesses one image, then hands its passes to the batcher.
  void Prepare(ImageWork image) {
    absl::Cleanup prepared = [this] { preparing_.fetch_sub(1); };
    const TimePoint start = clock_->Now();
    RecordStage(image, Stage::kQueue, start - image.work->admitted);
    const bool over = image.work->context().Over(start);
    absl::Status status = Guarded("prepare_failed", kImageFailed,
                                  [&] { return image.work->context().Check(start, "decode"); });
    if (!status.ok()) {
      DropImage(image, status, Stage::kDecode);
      return FailPasses(image);
    }
    if (over) metrics_->WastedWork(Stage::kDecode);
    std::vector<ImageWork> passes;
    status = Guarded("prepare_failed", kImageFailed,
                     [&] { return DecodeAndPreprocess(image, &passes); });
    if (!status.ok()) {
      image.slot().status = Guarded("prepare_failed", kImageFailed, [&] {
        return PrependField(status, Concat("images[", image.index, "]"));
      });
      return FailPasses(image);
    }
    // Before the instance thread wakes, which may put this one to sleep: it would count the picture
    // twice and leave it a share of the cores only.
    std::move(prepared).Invoke();
    ImageWork& first = passes.front();
    first.place = std::move(image.place);
    if (image.state().has_long_pass) first.hold = std::move(image.hold);
    for (size_t p = passes.size(); p > 1; --p) QueuePass(std::move(passes[p - 1]));
    runners_.Submit(std::move(first));
  }

  // Ends an image that never became passes; its status is in the first one's slot.
  void FailPasses(const ImageWork& image) {
    ImageState& state = image.state();
    if (state.passes != nullptr) {
      state.features.status = image.slot().status;
      state.passes->remaining.store(0);
    }
    Complete(image);
  }

  absl::Status DecodeAndPreprocess(const ImageWork& image, std::vector<ImageWork>* passes) {
    PIXPOOL_ASSIGN_OR_RETURN(PictureInputs made, MakeInputs(image, workers_, *clock_));
    RecordStage(image, Stage::kDecode, made.decode_time);
    RecordStage(image, Stage::kPreprocess, made.preprocess_time);
    NoteRemarks(image, made, metrics_);
    image.state().picture = std::move(made.picture);
    times_.Decoded(*image.work, image.state(), made.decode_time + made.preprocess_time);
    *passes = MakePasses(image, std::move(made.inputs));
    return absl::OkStatus();
  }

  void RecordStage(const ImageWork& image, Stage stage, TimeDuration d) {
    StageSlot(image.slot(), stage) = d;
    image.work->metrics().StageTime(stage, ToSeconds(d));
  }

  // One pass over an image has come to its end; the last one goes on with the image. On an instance
  // thread.
  void PassDone(ImageWork image) {
    if (image.slot().status.ok()) {
      Guarded("observe_failed", kImageFailed, [&] {
        times_.PassEnded(image);
        return absl::OkStatus();
      }).IgnoreError();
    }
    if (PassGroup* const passes = image.state().passes.get()) {
      if (passes->remaining.fetch_sub(1) != 1) return;
      FailImageUnlessOk(image, Guarded("combine_failed", kImageFailed, [&] {
                          CombinePasses(image);
                          return absl::OkStatus();
                        }));
    }
    const bool good = image.state().features.status.ok();
    if (!good || !image.work->draws) return Complete(image);
    const absl::Status queued = Guarded("draw_failed", kImageFailed, [&] {
      draw_pool_.Schedule([this, image = image.Pass(image.pass)] {
        DrawImage(image, clock_);
        Complete(image);
      });
      return absl::OkStatus();
    });
    if (queued.ok()) return;
    FailImageUnlessOk(image, queued);
    Complete(image);
  }

  // One image that was admitted has come to its end.
  void Complete(const ImageWork& image) {
    const ImageState& state = image.state();
    const bool worked = !WasDropped(state.features.status);
    admission_.Done(image.work->context(), state.predicted_seconds, worked, queue_.images());
    FinishOne(image.work);
  }

  // One image of the request is settled; the last one sends the reply.
  void FinishOne(const std::shared_ptr<RequestWork>& work) {
    if (work->remaining.fetch_sub(1) != 1) return;
    const absl::Status queued = Guarded("reply_failed", kRequestFailed, [&] {
      reply_pool_.Schedule([this, work] { FinishRequest(work.get(), metrics_); });
      return absl::OkStatus();
    });
    if (!queued.ok()) FinishRequest(work.get(), metrics_);  // on this thread
  }

  // Constant after construction.
  const PipelineOptions options_;
  DecodeWorkers* const workers_;  // null: none
  ModelRegistry* const registry_;
  Metrics* const metrics_;
  const Clock* const clock_;

  Admission admission_;  // from here on: own synchronisation; the pools outlive what feeds them
  WorkTimes times_;
  WorkQueue queue_;
  std::atomic<int> preparing_ = 0;  // images that wait for decoding or are decoded
  ThreadPool reply_pool_;
  ThreadPool draw_pool_;
  MemoryBudget memory_;
  ModelRunners runners_;
  std::unique_ptr<ThreadPool> decode_pool_;
  TensorPooler pooler_;
};

Pipeline::Pipeline(PipelineOptions options, ModelRegistry* registry, Metrics* metrics,
                   const Clock* clock, DecodeWorkers* workers)
    : impl_(std::make_unique<Impl>(std::move(options), registry, metrics, clock, workers)),
      cold_calls_(registry, impl_->admission(), metrics, clock,
                  [this](ExtractRequest request, ExtractDone done) {
                    impl_->Extract(std::move(request), std::move(done));
                  }) {}
Pipeline::~Pipeline() = default;

void Pipeline::Extract(ExtractRequest request, ExtractDone done) {
  cold_calls_.Take(std::move(request), std::move(done));
}
void Pipeline::Pool(PoolRequest request, PoolDone done) {
  impl_->Pool(std::move(request), std::move(done));
}
absl::Status Pipeline::MayArrive(const CallContext& call) { return impl_->MayArrive(call); }
absl::Status Pipeline::Progress(double times) const { return impl_->Progress(times); }
bool Pipeline::Forget(const Model& model) { return impl_->Forget(model); }
absl::Status Pipeline::BoundMemory(int64_t resident) { return impl_->BoundMemory(resident); }
Admission* Pipeline::admission() { return impl_->admission(); }
ColdCalls* Pipeline::cold_calls() { return &cold_calls_; }
bool Pipeline::Drain(absl::Duration timeout) {
  cold_calls_.Close();
  return impl_->Drain(timeout);
}
const PipelineOptions& Pipeline::options() const { return impl_->options(); }
Readings Pipeline::Gauges() const { return impl_->Gauges(); }

}  // namespace pixpool
