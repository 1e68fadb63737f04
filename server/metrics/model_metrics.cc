#include <string>
#include <utility>

#include "server/metrics/buckets.h"
#include "server/metrics/model_series.h"

namespace pixpool {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;

constexpr std::array<ErrorReason, 2> kCancelReasons = {ErrorReason::kCancelled,
                                                       ErrorReason::kDeadlineInQueue};
// What work without a model goes through: pooling of tensors, and answers.
constexpr std::array<Stage, 3> kStagesWithoutModel = {Stage::kQueue, Stage::kHeads,
                                                      Stage::kConvert};

template <typename Enum>
size_t Index(Enum value) {
  return static_cast<size_t>(value);
}

std::string Reason(ErrorReason reason) { return std::string(ReasonName(reason)); }

Family<Counter>& Counters(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}
Family<Gauge>& Gauges(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
}
Family<Histogram>& Histograms(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry);
}

std::vector<Stage> StagesOf(bool model) {
  if (!model) return {kStagesWithoutModel.begin(), kStagesWithoutModel.end()};
  std::vector<Stage> all;
  for (int s = 0; s < kStageCount; ++s) all.push_back(static_cast<Stage>(s));
  return all;
}

}  // namespace

ModelFamilies::ModelFamilies(prometheus::Registry* registry)
    : requests(
          Counters(registry, "pixpool_requests_total", "Finished calls, counted at their end.")),
      request_seconds(Histograms(registry, "pixpool_request_duration_seconds",
                                 "Time from a call's arrival to its end.")),
      images(Counters(registry, "pixpool_images_total", "Images by outcome.")),
      cancellations(Counters(registry, "pixpool_cancellations_total",
                             "Images dropped because the client went away or the time ran out, by "
                             "the stage before which it was seen.")),
      cache_uses(Counters(registry, "pixpool_response_cache_images_total",
                          "Images of a server with a response cache, by what it did for them.")),
      stage_seconds(Histograms(registry, "pixpool_stage_duration_seconds",
                               "Time that an image spent in a stage.")),
      batch_size(Histograms(registry, "pixpool_batch_size", "Images of a backbone pass.")),
      queue_depth(
          Gauges(registry, "pixpool_queue_depth",
                 "Images admitted that wait for a decode thread, for memory or for a batch.")),
      oldest_pass_seconds(
          Gauges(registry, "pixpool_oldest_pass_seconds",
                 "Time that the oldest backbone pass under way has taken, 0 where there is none.")),
      oldest_wait_seconds(Gauges(registry, "pixpool_oldest_wait_seconds",
                                 "Time that the oldest work has waited for its turn to be decoded, "
                                 "or pooled; 0 where none waits.")) {}

template <typename T, typename... Buckets>
T* ModelMetrics::Series::Add(Family<T>& family, Labels labels, const Buckets&... buckets) {
  labels.insert(model_.begin(), model_.end());
  T* const series = &family.Add(labels, buckets...);
  removals_.push_back([&family, series] { family.Remove(series); });
  return series;
}

ModelMetrics::Series::Series(ModelFamilies* families, std::string_view name,
                             std::string_view version, ModelMetrics* none)
    : without_model(none),
      model_({{"model", std::string(name)}, {"version", std::string(version)}}) {
  const bool model = none != nullptr;
  for (size_t m = 0; m < kRpcMethodCount; ++m) {
    if (model && !CallsModel(static_cast<RpcMethod>(m))) continue;
    const std::string method(RpcMethodName(static_cast<RpcMethod>(m)));
    for (int code = 0; code < kCodeCount; ++code) {
      const auto text = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
      requests[m][static_cast<size_t>(code)] =
          Add(families->requests, {{"method", method}, {"code", text}});
    }
    request_seconds[m] = Add(families->request_seconds, {{"method", method}}, SecondsBuckets());
  }
  for (const Stage stage : StagesOf(model)) {
    const std::string text(StageName(stage));
    stage_seconds[Index(stage)] = Add(families->stage_seconds, {{"stage", text}}, SecondsBuckets());
    for (const ErrorReason reason : kCancelReasons) {
      cancellations[Index(stage)][Index(reason)] =
          Add(families->cancellations, {{"stage", text}, {"reason", Reason(reason)}});
    }
  }
  queue_depth = Add(families->queue_depth, {});
  for (int p = 0; p < kPriorityCount; ++p) {
    const std::string priority(PriorityName(static_cast<Priority>(p)));
    oldest_wait_seconds[static_cast<size_t>(p)] =
        Add(families->oldest_wait_seconds, {{"priority", priority}});
  }
  if (!model) return;
  oldest_pass_seconds = Add(families->oldest_pass_seconds, {});
  batch_size = Add(families->batch_size, {}, BatchBuckets());
  for (int i = 0; i < kCacheUseCount; ++i) {
    const std::string outcome(CacheUseName(static_cast<CacheUse>(i)));
    cache_uses[static_cast<size_t>(i)] = Add(families->cache_uses, {{"outcome", outcome}});
  }
  images_ok = Add(families->images, {{"outcome", "ok"}, {"reason", "none"}});
  for (int i = 0; i < kErrorReasonCount; ++i) {
    images_failed[static_cast<size_t>(i)] = Add(
        families->images, {{"outcome", "error"}, {"reason", Reason(static_cast<ErrorReason>(i))}});
  }
  images_failed_other = Add(families->images, {{"outcome", "error"}, {"reason", "OTHER"}});
}

ModelMetrics::Series::~Series() {
  for (const std::function<void()>& remove : removals_) remove();
}

void ModelMetrics::Series::Set(const ModelReadings& readings) {
  queue_depth->Set(readings.queue_depth);
  for (size_t p = 0; p < oldest_wait_seconds.size(); ++p) {
    oldest_wait_seconds[p]->Set(readings.oldest_wait_seconds[p]);
  }
  if (oldest_pass_seconds != nullptr) oldest_pass_seconds->Set(readings.oldest_pass_seconds);
}

ModelMetrics::ModelMetrics(std::unique_ptr<Series> series) : series_(std::move(series)) {}

ModelMetrics::~ModelMetrics() = default;

void ModelMetrics::RequestDone(RpcMethod method, absl::StatusCode code, double seconds) {
  if (series_->request_seconds[Index(method)] == nullptr) {
    return series_->without_model->RequestDone(method, code, seconds);
  }
  const int number = static_cast<int>(code);
  const bool known = number >= 0 && number < kCodeCount;
  const auto index = static_cast<size_t>(known ? code : absl::StatusCode::kUnknown);
  series_->requests[Index(method)][index]->Increment();
  series_->request_seconds[Index(method)]->Observe(seconds);
}

void ModelMetrics::ImageDone(const absl::Status& status) {
  if (status.ok()) {
    series_->images_ok->Increment();
  } else if (const auto details = GetErrorDetails(status)) {
    series_->images_failed[Index(details->reason)]->Increment();
  } else {
    series_->images_failed_other->Increment();
  }
}

void ModelMetrics::Cancelled(Stage stage, ErrorReason reason) {
  if (Counter* const counter = series_->cancellations[Index(stage)][Index(reason)]) {
    counter->Increment();
  }
}

void ModelMetrics::StageTime(Stage stage, double seconds) {
  if (Histogram* const times = series_->stage_seconds[Index(stage)]) times->Observe(seconds);
}

void ModelMetrics::CacheUsed(CacheUse use) { series_->cache_uses[Index(use)]->Increment(); }

void ModelMetrics::BatchSize(int images) { series_->batch_size->Observe(images); }

}  // namespace pixpool
