#include "server/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/metrics/access_metrics.h"
#include "server/metrics/buckets.h"
#include "server/metrics/counters_by_label.h"
#include "server/metrics/exposition.h"
#include "server/metrics/gauge_rows.h"
#include "server/metrics/process_metrics.h"

namespace pixpool {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;

constexpr std::array<ErrorReason, 4> kShedReasons = {
    ErrorReason::kOverloaded, ErrorReason::kQuotaExceeded, ErrorReason::kDraining,
    ErrorReason::kModelLoading};
constexpr std::array<ErrorReason, 2> kCancelReasons = {ErrorReason::kCancelled,
                                                       ErrorReason::kDeadlineInQueue};
// gRPC's codes are 0 (OK) to 16 (UNAUTHENTICATED).
constexpr int kCodeCount = 17;
constexpr char kOther[] = "other";

template <typename Enum>
size_t Index(Enum value) {
  return static_cast<size_t>(value);
}

std::string Reason(ErrorReason reason) { return std::string(ReasonName(reason)); }

}  // namespace

// All families, and the series of those whose labels are known from the start.
struct Metrics::Handles {
  prometheus::Registry registry;
  AccessMetrics access{&registry};

  Family<Counter>& CounterFamily(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Gauge>& GaugeFamily(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
  Family<Histogram>& HistogramFamily(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }

  // Calls.
  std::array<std::array<Counter*, kCodeCount>, kRpcMethodCount> requests;
  std::array<Histogram*, kRpcMethodCount> request_seconds;
  std::array<Counter*, kErrorReasonCount> shed;
  Counter* admitted;
  Counter* answers_dropped;
  std::array<Counter*, kConnectionRefusalCount> connections_refused;

  // Images.
  Counter* images_ok;
  std::array<Counter*, kErrorReasonCount> images_failed;
  Counter* images_failed_other;
  std::array<Counter*, kRegionModeCount> regions;
  CountersByLabel formats;
  Family<Counter>* damaged_family;
  // By format and kind; constant once serving has begun.
  std::map<std::pair<std::string, std::string>, Counter*> damaged;
  CountersByLabel worker_failures;
  std::array<std::array<Counter*, kErrorReasonCount>, kStageCount> cancellations;
  std::array<Counter*, kStageCount> wasted{};
  std::array<Histogram*, kStageCount> stage_seconds;
  Histogram* batch_size;
  Histogram* image_bytes;
  Histogram* image_pixels;
  CountersByLabel heads;

  // Gauges that a scrape sets.
  struct Reading {
    Gauge* gauge;
    double GaugeReadings::*value;
  };
  std::vector<Reading> readings;

  Family<Gauge>* build_info;
  Family<Gauge>* model_ready;
  Family<Gauge>* model_info;
  Family<Gauge>* model_load_seconds;

  absl::Mutex mu;  // held while `read_gauges` runs, so that replacing it waits for its end
  std::function<GaugeReadings()> read_gauges ABSL_GUARDED_BY(mu);
  std::map<std::pair<std::string, std::string>, Gauge*> info_series ABSL_GUARDED_BY(mu);

  Handles() {
    AddCalls();
    AddConnections();
    AddImages();
    AddGauges();
  }

 private:
  void AddCalls() {
    auto& calls = CounterFamily("pixpool_requests_total", "Finished calls, counted at their end.");
    auto& seconds = HistogramFamily("pixpool_request_duration_seconds",
                                    "Time from a call's arrival to its end.");
    for (size_t m = 0; m < kRpcMethodCount; ++m) {
      const std::string method(RpcMethodName(static_cast<RpcMethod>(m)));
      for (int code = 0; code < kCodeCount; ++code) {
        const auto name = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
        requests[m][static_cast<size_t>(code)] = &calls.Add({{"method", method}, {"code", name}});
      }
      request_seconds[m] = &seconds.Add({{"method", method}}, SecondsBuckets());
    }
    auto& shed_family = CounterFamily("pixpool_requests_shed_total",
                                      "Requests refused at once, calls or images of streams: "
                                      "OVERLOADED for want of room or time, DRAINING and "
                                      "MODEL_LOADING while the server stops or starts.");
    shed.fill(&shed_family.Add({{"reason", "OTHER"}}));
    for (const ErrorReason reason : kShedReasons) {
      shed[Index(reason)] = &shed_family.Add({{"reason", Reason(reason)}});
    }
    admitted = &CounterFamily("pixpool_requests_admitted_total",
                              "Requests let in: calls, and each image of a stream.")
                    .Add({});
    answers_dropped = &CounterFamily("pixpool_unread_answers_dropped_total",
                                     "Calls and streams ended because their client did not read.")
                           .Add({});
  }

  void AddConnections() {
    auto& refused = CounterFamily("pixpool_connections_refused_total",
                                  "Connections closed before a call could come in by them.");
    for (int i = 0; i < kConnectionRefusalCount; ++i) {
      const std::string reason(ConnectionRefusalName(static_cast<ConnectionRefusal>(i)));
      connections_refused[static_cast<size_t>(i)] = &refused.Add({{"reason", reason}});
    }
  }

  void AddImages() {
    auto& outcomes = CounterFamily("pixpool_images_total", "Images by outcome.");
    images_ok = &outcomes.Add({{"outcome", "ok"}, {"reason", "none"}});
    for (int i = 0; i < kErrorReasonCount; ++i) {
      images_failed[static_cast<size_t>(i)] =
          &outcomes.Add({{"outcome", "error"}, {"reason", Reason(static_cast<ErrorReason>(i))}});
    }
    images_failed_other = &outcomes.Add({{"outcome", "error"}, {"reason", "OTHER"}});

    auto& of_images = CounterFamily("pixpool_regions_total", "Regions of images that were ok.");
    for (int i = 0; i < kRegionModeCount; ++i) {
      const std::string mode(RegionModeName(static_cast<RegionMode>(i)));
      regions[static_cast<size_t>(i)] = &of_images.Add({{"mode", mode}});
    }

    auto& received = CounterFamily("pixpool_images_received_total", "Images by file format.");
    formats = {&received, "format", &received.Add({{"format", kOther}}), {}};

    damaged_family = &CounterFamily("pixpool_images_damaged_total",
                                    "Images read in spite of damage to their file, by its kind.");

    worker_failures = {&CounterFamily("pixpool_decode_worker_failures_total",
                                      "Processes that decode images and had to be replaced."),
                       "cause",
                       nullptr,
                       {}};

    auto& dropped = CounterFamily(
        "pixpool_cancellations_total",
        "Images dropped because the client went away or the time ran out, by the stage before "
        "which it was seen.");
    auto& seconds =
        HistogramFamily("pixpool_stage_duration_seconds", "Time that an image spent in a stage.");
    for (size_t s = 0; s < kStageCount; ++s) {
      const std::string stage(StageName(static_cast<Stage>(s)));
      cancellations[s].fill(nullptr);
      for (const ErrorReason reason : kCancelReasons) {
        cancellations[s][Index(reason)] =
            &dropped.Add({{"stage", stage}, {"reason", Reason(reason)}});
      }
      stage_seconds[s] = &seconds.Add({{"stage", stage}}, SecondsBuckets());
    }
    auto& wasted_family = CounterFamily(
        "pixpool_wasted_work_total",
        "Stages begun for an image whose call was cancelled or past its deadline by then.");
    for (const Stage stage : {Stage::kDecode, Stage::kBackbone}) {
      wasted[Index(stage)] = &wasted_family.Add({{"stage", std::string(StageName(stage))}});
    }
    batch_size = &HistogramFamily("pixpool_batch_size", "Images of a backbone pass.")
                      .Add({}, BatchBuckets());
    image_bytes = &HistogramFamily("pixpool_image_bytes", "Bytes of an image as it was sent.")
                       .Add({}, BytesBuckets());
    image_pixels = &HistogramFamily("pixpool_image_pixels", "Pixels of an image, from its header.")
                        .Add({}, PixelsBuckets());
    auto& runs = CounterFamily("pixpool_head_runs_total", "Heads computed, one per image.");
    heads = {&runs, "kind", &runs.Add({{"kind", kOther}}), {}};
  }

  void AddGauges() {
    for (const GaugeRow& row : kGauges) {
      const Labels labels = row.pool == nullptr ? Labels{} : Labels{{"pool", row.pool}};
      readings.push_back({&GaugeFamily(row.name, row.help).Add(labels), row.value});
    }
    build_info = &GaugeFamily("pixpool_build_info", "Versions of the server, always 1.");
    model_ready = &GaugeFamily("pixpool_model_ready", "Whether a model serves.");
    model_info = &GaugeFamily("pixpool_model_info", "What a model runs on, always 1.");
    model_load_seconds =
        &GaugeFamily("pixpool_model_load_duration_seconds", "Time that loading a model took.");
  }
};

Metrics::Metrics() : handles_(std::make_unique<Handles>()) {}

Metrics::~Metrics() = default;

void Metrics::RequestDone(RpcMethod method, absl::StatusCode code, double seconds) {
  const int number = static_cast<int>(code);
  const bool known = number >= 0 && number < kCodeCount;
  const auto index = static_cast<size_t>(known ? code : absl::StatusCode::kUnknown);
  handles_->requests[Index(method)][index]->Increment();
  handles_->request_seconds[Index(method)]->Observe(seconds);
}

void Metrics::Admitted() { handles_->admitted->Increment(); }

void Metrics::Shed(ErrorReason reason) { handles_->shed[Index(reason)]->Increment(); }

void Metrics::AnswerDropped() { handles_->answers_dropped->Increment(); }

void Metrics::ConnectionRefused(ConnectionRefusal reason) {
  handles_->connections_refused[Index(reason)]->Increment();
}

void Metrics::TokenCall(std::string_view name) { handles_->access.TokenCall(name); }

void Metrics::TokenRefused(std::string_view name) { handles_->access.TokenRefused(name); }

void Metrics::TokensRefused(bool refused) { handles_->access.TokensRefused(refused); }

void Metrics::DeclareTokens(const std::vector<std::string>& names) {
  handles_->access.DeclareTokens(names);
}

void Metrics::TlsReload(bool taken) { handles_->access.TlsReload(taken); }

void Metrics::TlsFilesRefused(bool refused) { handles_->access.TlsFilesRefused(refused); }

void Metrics::SetTlsCertificateEnd(double seconds) {
  handles_->access.SetTlsCertificateEnd(seconds);
}

void Metrics::ImageDone(const absl::Status& status) {
  if (status.ok()) {
    handles_->images_ok->Increment();
  } else if (const auto details = GetErrorDetails(status)) {
    handles_->images_failed[Index(details->reason)]->Increment();
  } else {
    handles_->images_failed_other->Increment();
  }
}

void Metrics::RegionsDone(RegionMode mode, size_t count) {
  if (count > 0) handles_->regions[Index(mode)]->Increment(static_cast<double>(count));
}

void Metrics::Cancelled(Stage stage, ErrorReason reason) {
  if (Counter* counter = handles_->cancellations[Index(stage)][Index(reason)]) {
    counter->Increment();
  }
}

void Metrics::WastedWork(Stage stage) {
  if (Counter* counter = handles_->wasted[Index(stage)]) counter->Increment();
}

void Metrics::StageTime(Stage stage, double seconds) {
  handles_->stage_seconds[Index(stage)]->Observe(seconds);
}

void Metrics::BatchSize(int images) { handles_->batch_size->Observe(images); }

void Metrics::ImageSeen(std::string_view format, double bytes, double pixels) {
  handles_->formats.Count(format);
  handles_->image_bytes->Observe(bytes);
  handles_->image_pixels->Observe(pixels);
}

void Metrics::ImageDamaged(std::string_view format, std::string_view kind) {
  const auto found = handles_->damaged.find({std::string(format), std::string(kind)});
  if (found != handles_->damaged.end()) found->second->Increment();
}

void Metrics::DecodeWorkerFailed(std::string_view cause) { handles_->worker_failures.Count(cause); }

void Metrics::HeadRun(std::string_view kind) { handles_->heads.Count(kind); }

void Metrics::DeclareFormats(const std::vector<std::string_view>& formats) {
  for (const std::string_view format : formats) handles_->formats.Declare(format);
}

void Metrics::DeclareDamages(const std::vector<std::string_view>& formats,
                             const std::vector<std::string_view>& kinds) {
  for (const std::string_view format : formats) {
    for (const std::string_view kind : kinds) {
      const std::string f(format), k(kind);
      handles_->damaged[{f, k}] = &handles_->damaged_family->Add({{"format", f}, {"kind", k}});
    }
  }
}

void Metrics::DeclareDecodeWorkerFailures(const std::vector<std::string_view>& causes) {
  for (const std::string_view cause : causes) handles_->worker_failures.Declare(cause);
}

void Metrics::DeclareHeads(const std::vector<std::string>& kinds) {
  for (const std::string& kind : kinds) handles_->heads.Declare(kind);
}

void Metrics::SetBuildInfo(std::string_view version, std::string_view grpc,
                           std::string_view torch) {
  handles_->build_info
      ->Add({{"version", std::string(version)},
             {"grpc", std::string(grpc)},
             {"torch", std::string(torch)}})
      .Set(1);
}

void Metrics::SetModel(std::string_view name, std::string_view version, std::string_view engine,
                       std::string_view device, std::string_view precision, bool ready,
                       double load_seconds) {
  const Labels model = {{"model", std::string(name)}, {"version", std::string(version)}};
  handles_->model_ready->Add(model).Set(ready ? 1 : 0);
  absl::MutexLock lock(&handles_->mu);
  Gauge*& info = handles_->info_series[{std::string(name), std::string(version)}];
  if (info != nullptr) handles_->model_info->Remove(info);
  info = nullptr;
  if (!ready) return;
  Labels labels = model;
  labels["engine"] = std::string(engine);
  labels["device"] = std::string(device);
  labels["precision"] = std::string(precision);
  info = &handles_->model_info->Add(labels);
  info->Set(1);
  handles_->model_load_seconds->Add(model).Set(load_seconds);
}

void Metrics::SetGaugeSource(std::function<GaugeReadings()> read) {
  absl::MutexLock lock(&handles_->mu);
  handles_->read_gauges = std::move(read);
}

std::string Metrics::Scrape() {
  std::vector<prometheus::MetricFamily> families;
  {
    absl::MutexLock lock(&handles_->mu);
    if (handles_->read_gauges) {
      const GaugeReadings now = handles_->read_gauges();
      for (const auto& [gauge, value] : handles_->readings) gauge->Set(now.*value);
    }
    families = handles_->registry.Collect();
  }
  for (prometheus::MetricFamily& family : CollectProcessMetrics()) {
    families.push_back(std::move(family));
  }
  return Exposition(std::move(families));
}

}  // namespace pixpool
