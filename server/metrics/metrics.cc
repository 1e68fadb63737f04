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
#include "server/metrics/gpu_metrics.h"
#include "server/metrics/model_series.h"
#include "server/metrics/process_metrics.h"
#include "server/metrics/serving_metrics.h"

namespace pixpool {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;

constexpr char kOther[] = "other";

template <typename Enum>
size_t Index(Enum value) {
  return static_cast<size_t>(value);
}

}  // namespace

// All families, and the series of those whose labels are known from the start.
struct Metrics::Handles {
  prometheus::Registry registry;
  AccessMetrics access{&registry};
  ModelFamilies model_families{&registry};
  ServingMetrics serving{&registry};

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
  std::array<Counter*, kPriorityCount> admitted;
  Counter* answers_dropped;
  std::array<Counter*, kSpanEndCount> spans;
  std::array<Counter*, kConnectionRefusalCount> connections_refused;

  // Images.
  std::array<Counter*, kRegionModeCount> regions;
  CountersByLabel formats;
  Family<Counter>* damaged_family;
  // By format and kind; constant once serving has begun.
  std::map<std::pair<std::string, std::string>, Counter*> damaged;
  CountersByLabel worker_failures;
  std::array<Counter*, kAnswerDropCount> answers_evicted;
  std::array<Counter*, kStageCount> wasted{};
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

  absl::Mutex mu;  // held while `read_gauges` runs, so that replacing it waits for its end
  std::function<Readings()> read_gauges ABSL_GUARDED_BY(mu);

  // By name and version. A version that is loaded again while calls still hold the one before goes
  // on with its series.
  struct Model {
    explicit Model(std::unique_ptr<ModelMetrics::Series> series) : metrics(std::move(series)) {}
    ModelMetrics metrics;
    int users = 0;
  };
  using Models = std::map<std::pair<std::string, std::string>, Model>;
  ModelMetrics no_model{std::make_unique<ModelMetrics::Series>(&model_families, "", "", nullptr)};
  absl::Mutex models_mu;  // the last to be taken: models end wherever their last call does
  Models models ABSL_GUARDED_BY(models_mu);

  void SetModelGauges(const std::vector<ModelReadings>& all) {
    absl::MutexLock lock(&models_mu);
    no_model.series_->Set({});
    for (auto& [key, model] : models) model.metrics.series_->Set({});
    for (const ModelReadings& of : all) {
      (of.model != nullptr ? *of.model : no_model).series_->Set(of);
    }
  }

  Handles() {
    AddCalls();
    AddSpans();
    AddConnections();
    AddImages();
    AddGauges();
  }

 private:
  void AddCalls() {
    auto& let_in = CounterFamily("pixpool_requests_admitted_total",
                                 "Requests let in: calls, and each image of a stream.");
    for (size_t p = 0; p < kPriorityCount; ++p) {
      const std::string priority(PriorityName(static_cast<Priority>(p)));
      admitted[p] = &let_in.Add({{"priority", priority}});
    }
    answers_dropped = &CounterFamily("pixpool_unread_answers_dropped_total",
                                     "Calls and streams ended because their client did not read.")
                           .Add({});
  }

  void AddSpans() {
    auto& ended = CounterFamily("pixpool_spans_total",
                                "Spans of traces, by what became of them; 0 without a collector.");
    for (int i = 0; i < kSpanEndCount; ++i) {
      const std::string outcome(SpanEndName(static_cast<SpanEnd>(i)));
      spans[static_cast<size_t>(i)] = &ended.Add({{"outcome", outcome}});
    }
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
    auto& of_images = CounterFamily("pixpool_regions_total", "Regions of images that were ok.");
    for (int i = 0; i < kRegionModeCount; ++i) {
      const std::string mode(RegionModeName(static_cast<RegionMode>(i)));
      regions[static_cast<size_t>(i)] = &of_images.Add({{"mode", mode}});
    }

    auto& evicted = CounterFamily("pixpool_response_cache_evictions_total",
                                  "Answers that the response cache gave up.");
    for (int i = 0; i < kAnswerDropCount; ++i) {
      const std::string reason(AnswerDropName(static_cast<AnswerDrop>(i)));
      answers_evicted[static_cast<size_t>(i)] = &evicted.Add({{"reason", reason}});
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

    auto& wasted_family = CounterFamily(
        "pixpool_wasted_work_total",
        "Stages begun for an image whose call was cancelled or past its deadline by then.");
    for (const Stage stage : {Stage::kDecode, Stage::kBackbone}) {
      wasted[Index(stage)] = &wasted_family.Add({{"stage", std::string(StageName(stage))}});
    }
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
  }
};

Metrics::Metrics() : handles_(std::make_unique<Handles>()) {}

Metrics::~Metrics() = default;

std::shared_ptr<ModelMetrics> Metrics::OfModel(std::string_view name, std::string_view version) {
  const std::pair<std::string, std::string> key(name, version);
  Handles::Models::iterator at;
  {
    absl::MutexLock lock(&handles_->models_mu);
    at = handles_->models.find(key);
    if (at == handles_->models.end()) {
      auto series = std::make_unique<ModelMetrics::Series>(&handles_->model_families, name, version,
                                                           &handles_->no_model);
      at = handles_->models.try_emplace(key, std::move(series)).first;
    }
    ++at->second.users;
  }
  return {&at->second.metrics, [handles = handles_.get(), at](ModelMetrics*) {
            absl::MutexLock lock(&handles->models_mu);
            if (--at->second.users == 0) handles->models.erase(at);
          }};
}

ModelMetrics& Metrics::no_model() { return handles_->no_model; }

void Metrics::Admitted(Priority priority) { handles_->admitted[Index(priority)]->Increment(); }

void Metrics::Shed(ErrorReason reason, Priority priority, std::string_view token) {
  handles_->access.Shed(reason, priority, token);
}

void Metrics::AnswerDropped() { handles_->answers_dropped->Increment(); }

void Metrics::ConnectionRefused(ConnectionRefusal reason) {
  handles_->connections_refused[Index(reason)]->Increment();
}

void Metrics::SpansEnded(SpanEnd end, size_t count) {
  handles_->spans[Index(end)]->Increment(static_cast<double>(count));
}

void Metrics::TokenCall(std::string_view name) { handles_->access.TokenCall(name); }

void Metrics::TokensRefused(bool refused) { handles_->access.TokensRefused(refused); }

void Metrics::DeclareTokens(const std::vector<std::string>& names) {
  handles_->access.DeclareTokens(names);
}

void Metrics::TlsReload(bool taken) { handles_->access.TlsReload(taken); }

void Metrics::TlsFilesRefused(bool refused) { handles_->access.TlsFilesRefused(refused); }

void Metrics::SetTlsCertificateEnd(double seconds) {
  handles_->access.SetTlsCertificateEnd(seconds);
}

void Metrics::AnswersDropped(AnswerDrop reason, size_t count) {
  handles_->answers_evicted[Index(reason)]->Increment(static_cast<double>(count));
}

void Metrics::RegionsDone(RegionMode mode, size_t count) {
  if (count > 0) handles_->regions[Index(mode)]->Increment(static_cast<double>(count));
}

void Metrics::WastedWork(Stage stage) {
  if (Counter* counter = handles_->wasted[Index(stage)]) counter->Increment();
}

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
  handles_->serving.SetModel(name, version, engine, device, precision, ready, load_seconds);
}

void Metrics::DropModel(std::string_view name, std::string_view version) {
  handles_->serving.DropModel(name, version);
}

void Metrics::ModelLoaded(bool ready) { handles_->serving.ModelLoaded(ready); }

void Metrics::ModelIdle(std::string_view name, std::string_view version) {
  handles_->serving.ModelIdle(name, version);
}

void Metrics::ModelLoadedForCall(std::string_view name, std::string_view version, bool ready,
                                 double seconds) {
  handles_->serving.ModelLoadedForCall(name, version, ready, seconds);
}

void Metrics::SetModelsLeaving(size_t count) { handles_->serving.SetModelsLeaving(count); }

void Metrics::SetGaugeSource(std::function<Readings()> read) {
  absl::MutexLock lock(&handles_->mu);
  handles_->read_gauges = std::move(read);
}

std::string Metrics::Scrape() {
  std::vector<prometheus::MetricFamily> families;
  std::vector<GpuReadings> gpus;
  {
    absl::MutexLock lock(&handles_->mu);
    if (handles_->read_gauges) {
      Readings now = handles_->read_gauges();
      for (const auto& [gauge, value] : handles_->readings) gauge->Set(now.*value);
      handles_->SetModelGauges(now.models);
      gpus = std::move(now.gpus);
    }
    families = handles_->registry.Collect();
  }
  for (auto& more : {CollectGpuMetrics(gpus), CollectProcessMetrics()}) {
    families.insert(families.end(), more.begin(), more.end());
  }
  return Exposition(std::move(families));
}

}  // namespace pixpool
