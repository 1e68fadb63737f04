// The order of the stages, and nothing else:
//   Extract (caller's thread):  model (cold_calls.h) -> plan -> answer kept? (answer_sharing.h)
//                               -> admit -> queue (work_queue.h: whose turn it is)
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
#include "server/pipeline/answer_sharing.h"
#include "server/pipeline/draw.h"
#include "server/pipeline/memory_plan.h"
#include "server/pipeline/model_readings.h"
#include "server/pipeline/model_runners.h"
#include "server/pipeline/passes.h"
#include "server/pipeline/plan_request.h"
#include "server/pipeline/tensor_pooler.h"
#include "server/pipeline/work.h"
#include "server/pipeline/work_count.h"
#include "server/pipeline/work_entry.h"
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
        answers_(options_.response_cache, metrics, clock,
                 {.settled = [this](const ImageRef& image) { Settle(image); },
                  .take_over = [this](const ImageRef& image) { return TakeOver(image); }}),
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
    answers_.Forget(model);
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
    ReadMemory(memory_, &g);
    ReadAnswers(answers_.usage(), options_.response_cache, &g);
    g.decode_threads = decode_pool_->thread_count();
    g.draw_threads = draw_pool_.thread_count();
    g.reply_threads = reply_pool_.thread_count();
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
    answers_.Look(work);
    count_.Predict(work, &*cost);
    PIXPOOL_ASSIGN_OR_RETURN(work->result.permit,
                             AcquirePermit(&admission_, metrics_, *cost, *request.context));
    work->result.admitted = work->admitted = clock_->Now();
    return absl::OkStatus();
  }

  void Queue(const std::shared_ptr<RequestWork>& work) {
    // One more than there are images, so that the request cannot end while it is being queued.
    work->remaining.store(static_cast<int>(work->images.size()) + 1);
    for (size_t i = 0; i < work->images.size(); ++i) {
      const ImageRef image = {work, static_cast<int>(i)};
      if (!image.state().features.status.ok()) {
        FinishOne(work);
        continue;
      }
      switch (answers_.Begin(image)) {
        case AnswerSharing::Answer::kNone:
          if (!Start(image)) FailPasses({.work = work, .index = image.index});
          break;
        case AnswerSharing::Answer::kHere:
          Settle(image);
          break;
        case AnswerSharing::Answer::kAwaited:
          break;
      }
    }
    FinishOne(work);
  }

  // Has an image worked on whose answer was to come from another's work.
  bool TakeOver(const ImageRef& image) {
    if (Start(image)) return true;
    image.state().answer->leads = false;  // who asked looks for the next
    FailPasses({.work = image.work, .index = image.index});
    return false;
  }

  // Queues an image. False: its status says why not.
  bool Start(const ImageRef& image) {
    preparing_.fetch_add(1);
    const absl::Status queued = Guarded("queue_failed", kRequestFailed, [&] {
      count_.TakeOver(image);
      WorkQueue::Entry entry = EntryOf(options_, times_, clock_, image, &queue_);
      entry.work = [this, image](WorkQueue::Turn turn) {
        Prepare(WithTurn({.work = image.work, .index = image.index}, std::move(turn)));
      };
      queue_.Push(std::move(entry));
    });
    if (queued.ok()) return true;
    preparing_.fetch_sub(1);
    ImageWork{.work = image.work, .index = image.index}.slot().status = queued;
    return false;
  }

  // One more pass over an image waits for a turn of its own, so that other callers' work goes
  // between.
  void QueuePass(ImageWork pass) {
    std::shared_ptr<ImageWork> kept;
    preparing_.fetch_add(1);
    const absl::Status queued = Guarded("queue_failed", kImageFailed, [&] {
      kept = std::make_shared<ImageWork>(std::move(pass));
      const double pass_seconds =
          times_.PredictPass(*kept->work, kept->state(), kept->input_size());
      WorkQueue::Entry entry = EntryOf(options_, times_, clock_, kept->work, 0, pass_seconds);
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
    if (answers_.Came(image.image())) return Complete(image);
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
    absl::StatusOr<PictureInputs> inputs = MakeInputs(image, workers_, *clock_);
    answers_.Decoded(image.image(), inputs.status());
    PIXPOOL_ASSIGN_OR_RETURN(PictureInputs made, std::move(inputs));
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
    const ImageFeatures& features = image.state().features;
    count_.GiveBack(image.image(), !features.cached && !WasDropped(features.status));
    answers_.Ended(image.image());
    FinishOne(image.work);
  }

  // One image that was not worked on has its answer.
  void Settle(const ImageRef& image) {
    count_.GiveBack(image, false);
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
  AnswerSharing answers_;
  WorkTimes times_;
  WorkQueue queue_;
  const WorkCount count_{&admission_, &times_, &queue_};
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
