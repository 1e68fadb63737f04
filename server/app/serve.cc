#include "server/app/serve.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "grpcpp/grpcpp.h"
#include "server/app/decode_isolation.h"
#include "server/app/ending.h"
#include "server/app/health_names.h"
#include "server/app/health_watch.h"
#include "server/app/last_words.h"
#include "server/app/loader.h"
#include "server/app/rest_door.h"
#include "server/app/signals.h"
#include "server/base/cpu_quota.h"
#include "server/base/health_checks.h"
#include "server/base/host_port.h"
#include "server/base/log.h"
#include "server/base/log_sample.h"
#include "server/base/memory.h"
#include "server/base/memory_limit.h"
#include "server/base/memory_room.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/base/ticker.h"
#include "server/base/version.h"
#include "server/gpu/gpu_watch.h"
#include "server/kserve/service.h"
#include "server/metrics/http_server.h"
#include "server/pipeline/pipeline.h"
#include "server/repository/model_control.h"
#include "server/rpc/call_watch.h"
#include "server/rpc/feature_service.h"
#include "server/rpc/grpc_log.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/head_fields.h"
#include "server/rpc/token_store.h"
#include "server/torch/torch_env.h"
#include "server/tracing/tracer.h"

namespace pixpool {
namespace {

// A pass that has taken this many times what it may will not end: only a restart helps.
constexpr double kHopeless = 6;
// How long calls that were cut may take to come to their end; gRPC waits for them for ever.
constexpr auto kLastPatience = std::chrono::seconds(5);

// How often the file of tokens is looked at.
constexpr std::chrono::milliseconds kTokensPause(1'000);

// How often it is looked whether models are to be loaded or freed.
constexpr std::chrono::milliseconds kModelsPause(100);

// How often calls that wait for their clients are looked at.
constexpr std::chrono::milliseconds kWatchPeriod(100);

// Everything that lives as long as the process serves; members are destroyed in reverse, users
// first.
class Process {
 public:
  explicit Process(const Config& config)
      : config_(config),
        cores_(AvailableCpuCount()),
        registry_(config.registry.default_model, &metrics_),
        workers_(StartDecodeWorkers(config.isolation, ThreadCount(config.pipeline.decode_threads),
                                    MemoryOf(config.pipeline.memory), &metrics_)),
        pipeline_(config.pipeline, &registry_, &metrics_, Clock::Real(),
                  workers_.ok() ? workers_->get() : nullptr),
        calls_(Clock::Real(), kWatchPeriod),
        log_sample_(config.log.requests.value()),
        tracer_(StartTracer(kVersion, &metrics_)),
        tokens_(TokenStore::Open(config.rpc, &metrics_)),
        service_(config.rpc, tokens(), &pipeline_, &registry_, &metrics_, Clock::Real(), &calls_,
                 &log_sample_, tracer()),
        memory_([this] { return TakenBytes(); }),
        models_(config.repository,
                {.registry = &registry_,
                 .metrics = &metrics_,
                 .clock = Clock::Real(),
                 .load = BundleLoader(
                     config.model, {.cores = cores_, .memory = MemoryOf(config.pipeline.memory)}),
                 .share_memory = [this](const MemoryNeed& need) { return ShareMemory(need); },
                 .forget = [this](const Model& model) { return pipeline_.Forget(model); },
                 .changed = [this] { ModelsChanged(); }}),
        control_(config.repository, &models_, pipeline_.cold_calls(), Clock::Real()),
        kserve_({.call = config.rpc.call,
                 .caller_header = config.rpc.caller_header,
                 .tokens = tokens(),
                 .version = kVersion,
                 .ready = [this] { return ready_.Run().ok(); },
                 .control = &control_},
                &pipeline_, &registry_, &metrics_, Clock::Real(), &calls_, &log_sample_, tracer()) {
    std::vector<std::string> kinds;
    for (const HeadType& type : HeadTypes()) kinds.emplace_back(type.name);
    metrics_.DeclareHeads(kinds);
    metrics_.SetBuildInfo(kVersion, grpc::Version(), TorchVersion());
    metrics_.SetGaugeSource([this] { return Gauges(); });
    ready_.Add("process",
               [this] { return draining_ ? absl::UnavailableError("drains") : absl::OkStatus(); });
    ready_.Add("models", [this] {
      if (!loaded_) return absl::UnavailableError("they are being loaded");
      return registry_.AnyReady() ? absl::OkStatus() : absl::UnavailableError("none is loaded");
    });
    ready_.Add("backbone", [this] { return pipeline_.Progress(); });
    live_.Add("backbone", [this] { return pipeline_.Progress(kHopeless); });
  }

  ~Process() {
    control_.Close();
    models_ticker_.reset();
  }

  // Opens the ports and begins to load. Probes answer "not ready" until the models are.
  absl::Status Start() {
    PIXPOOL_RETURN_IF_ERROR(
        CheckHeads(*v1::Head::descriptor()->FindOneofByName("kind"), HeadTypes()));
    PIXPOOL_RETURN_IF_ERROR(workers_.status());
    PIXPOOL_RETURN_IF_ERROR(tokens_.status());
    PIXPOOL_RETURN_IF_ERROR(tracer_.status());
    // LoadModel asks again; here a device that is not there ends the start at once.
    PIXPOOL_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(config_.model.device));
    gpu_ = WatchGpu(device);
    log_sample_.failures().Start();
    PIXPOOL_RETURN_IF_ERROR(models_.Start());
    CheckThreads();
    PIXPOOL_ASSIGN_OR_RETURN(grpc_, StartGrpcServer(config_.rpc, {&service_, &kserve_}, &metrics_));
    grpc_->BoundReceived(pipeline_.admission()->limits().max_bytes);
    for (HealthChecks* checks : {&live_, &ready_}) {
      checks->Add("port", [this] { return grpc_->Answers(); });
    }
    live_watch_ = std::make_unique<HealthWatch>(
        &live_, [this, first = true](const absl::Status& now) mutable {
          grpc_->SetServing(kLivenessName, now.ok());
          if (!std::exchange(first, false)) LogHealth("live", now);
        });
    TellOfOverload();
    std::string http_listen = config_.http.listen.value();
    if (!http_listen.empty()) {
      HttpHandlers handlers{.metrics = [this] { return metrics_.Scrape(); },
                            .live = [this] { return live_.Run(); },
                            .ready = [this] { return ready_.Run(); }};
      PIXPOOL_ASSIGN_OR_RETURN(http_, StartHttpServer(http_listen, std::move(handlers)));
      http_listen = WithPort(http_listen, http_->port());
    }
    PIXPOOL_ASSIGN_OR_RETURN(rest_,
                             StartRest(config_, service_.deps(), &registry_, grpc_->tls(), cores_));
    if (tokens() != nullptr) {
      token_ticker_ =
          std::make_unique<Ticker>("tokens", kTokensPause, [this] { tokens()->Look(); });
    }
    Log(LogLevel::kInfo, "listening",
        {{"grpc", absl::StrJoin(grpc_->addresses(), ",")},
         {"tls", config_.rpc.tls.enabled()},
         {"http", http_listen},
         {"rest", rest_->address()},
         {"cores", cores_}});
    watch_ = std::make_unique<HealthWatch>(
        &ready_, [this](const absl::Status& now) { ReadinessChanged(now); });
    watch_->Look();
    models_ticker_ = std::make_unique<Ticker>("models", kModelsPause, [this] {
      models_at_work_ = true;
      loaded_ ? control_.Work() : LoadModels();
      models_at_work_ = false;
    });
    return absl::OkStatus();
  }

  // Waits for a signal. Not OK where the models could not be loaded.
  absl::Status WaitForStop(const StopSignal& stop) {
    const auto look = [this] { control_.LookAgain(); };
    while (!loaded_) {
      if (stop.WaitFor(std::chrono::milliseconds(20), look)) return absl::OkStatus();
    }
    if (!load_status_.ok()) return load_status_;
    if (registry_.AnyReady()) {
      Log(LogLevel::kInfo, "ready");
    } else {
      Log(LogLevel::kWarning, "no_model", {{"message", "it waits for one to serve"}});
    }
    stop.Wait(look);
    return absl::OkStatus();
  }

  // Not ready, then closed to new work, then finished. Returns whether all admitted work was. Does
  // not return where something hangs beyond the time that the drain has, or at a second signal.
  bool Drain(const StopSignal& stop) {
    Log(LogLevel::kInfo, "draining");
    draining_ = true;
    control_.Close();
    health_names_.Close();
    grpc_->SetNotServing();
    rest_->BeginDrain();
    const std::chrono::milliseconds delay = config_.process.drain_delay;
    if (delay > delay.zero()) stop.WaitFor(delay);
    EndAtSignal(stop);
    const std::chrono::milliseconds timeout = config_.process.drain_timeout;
    const auto end = std::chrono::steady_clock::now() + timeout;
    const bool finished = pipeline_.Drain(absl::FromChrono(timeout));
    std::vector<LogField> how = {{"finished", finished}};
    if (!finished) {
      EndAfter(kLastPatience);
      how.emplace_back("message", Concat("requests were cut at the timeout: ",
                                         pipeline_.admission()->usage().requests));
    }
    // Replies of finished calls are still being written; streams that idle and health watches are
    // cut.
    const absl::Duration grace = finished ? absl::Milliseconds(300) : absl::ZeroDuration();
    rest_->Shutdown(grace);
    grpc_->Shutdown(grace);
    if (!finished && !pipeline_.Drain(absl::FromChrono(kLastPatience))) EndNow(kWorkHangs);
    AwaitLoad(end);
    TellGrpcLeftOut();
    log_sample_.failures().Stop();
    Log(finished ? LogLevel::kInfo : LogLevel::kWarning, "stopped", how);
    return finished;
  }

  void Close() {
    control_.Close();  // a call that waits for a load would hold gRPC up
    if (rest_ != nullptr) rest_->Shutdown(absl::ZeroDuration());
    if (grpc_ != nullptr) grpc_->Shutdown(absl::ZeroDuration());
  }

 private:
  Tracer* tracer() const { return tracer_.ok() ? tracer_->get() : nullptr; }
  TokenStore* tokens() const { return tokens_.ok() ? tokens_->get() : nullptr; }

  // The log says when an overload begins and ends: callers see OVERLOADED, operators may not.
  void TellOfOverload() {
    room_.Add("admission", [this] {
      const Admission& admission = *pipeline_.admission();
      if (!admission.overloaded()) return absl::OkStatus();
      return absl::UnavailableError(
          Concat("more pictures come than the server can work on; it takes ",
                 admission.image_limit(), " at a time and refuses the others (OVERLOADED)"));
    });
    room_watch_ =
        std::make_unique<HealthWatch>(&room_, [first = true](const absl::Status& now) mutable {
          if (std::exchange(first, false) && now.ok()) return;
          if (now.ok()) {
            Log(LogLevel::kInfo, "overload_over");
          } else {
            Log(LogLevel::kWarning, "overloaded", {{"message", ToStd(now.message())}});
          }
        });
  }

  // Memory of the server and of its workers before the first request.
  int64_t TakenBytes() const {
    const bool some = workers_.ok() && *workers_ != nullptr;
    return ResidentBytes() + (some ? (*workers_)->ResidentBytes() : 0);
  }

  Readings Gauges() {
    Readings readings = pipeline_.Gauges();
    const CallWatch::Unread unread = calls_.unread();
    readings.unread_answers = static_cast<double>(unread.answers);
    readings.unread_answer_bytes = static_cast<double>(unread.bytes);
    if (*workers_ != nullptr) {
      readings.decode_workers = (*workers_)->alive();
      readings.decode_workers_filtered = (*workers_)->filtered() ? readings.decode_workers : 0;
    }
    readings.memory_limit = static_cast<double>(MemoryOf(config_.pipeline.memory));
    if (gpu_ != nullptr) readings.gpus = gpu_->Read();
    readings.calls_waiting_for_models = pipeline_.cold_calls()->waiting();
    readings.connections = grpc_->connections();
    readings.connections_capacity = grpc_->connection_capacity();
    return readings;
  }

  // A load cannot be broken off, and the process does not end in order before it does: it may have
  // unpacked files that go with it. Nor before a look at the folder, whose volume may hang.
  void AwaitLoad(std::chrono::steady_clock::time_point end) const {
    while (models_at_work_) {
      if (std::chrono::steady_clock::now() >= end) {
        const std::string at = models_.loading();
        EndNow(at.empty() ? "the folder of the models does not answer"
                          : Concat("still loads: ", at));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  // Throws where no more threads can be made: gRPC would abort, and OpenVINO may wait for ever.
  void CheckThreads() const { ThreadPool("check", 16 + 4 * cores_); }

  // On the thread of the models, the first time that it runs.
  void LoadModels() {
    try {
      CheckThreads();
      load_status_ = models_.LoadFirst();
    } catch (...) {  // no memory, no threads
      load_status_ = absl::ResourceExhaustedError(ExplainException());
    }
    loaded_ = true;
    watch_->Look();
  }

  absl::Status ShareMemory(const MemoryNeed& need) {
    if (need.loaded) memory_.Measure(need.bundle_bytes);
    const int64_t models = memory_.With(need.bundle_bytes) + need.pass_bytes;
    PIXPOOL_RETURN_IF_ERROR(pipeline_.BoundMemory(models));
    grpc_->BoundReceived(pipeline_.admission()->limits().max_bytes);
    return absl::OkStatus();
  }

  void ModelsChanged() {
    watch_->Look();
    health_names_.TellModels([this] { return !loaded_ || ready_.Run().ok(); });
  }

  // Makes gRPC's health say what the probes say. Draining is told by SetNotServing.
  void ReadinessChanged(const absl::Status& now) {
    if (draining_) return;
    if (std::exchange(began_, loaded_)) LogHealth("ready", now);
    health_names_.TellAll(now.ok());
  }

  const Config config_;
  const int cores_;
  Metrics metrics_;
  HealthChecks live_;   // /livez: whether a restart would help
  HealthChecks ready_;  // /readyz and gRPC's health: whether new work should come
  HealthChecks room_;   // whether all the work that comes is taken; for the log alone
  ModelRegistry registry_;
  const absl::StatusOr<std::unique_ptr<DecodeWorkers>> workers_;
  Pipeline pipeline_;
  CallWatch calls_;
  LogSample log_sample_;
  const absl::StatusOr<std::unique_ptr<Tracer>> tracer_;      // null: no traces
  const absl::StatusOr<std::unique_ptr<TokenStore>> tokens_;  // null: calls need none
  FeatureService service_;
  MemoryOfBundles memory_;
  ModelRepository models_;
  ModelControl control_;
  kserve::Service kserve_;
  std::unique_ptr<GpuWatch> gpu_;  // null: models run on the CPU
  std::unique_ptr<GrpcServer> grpc_;
  HealthNames health_names_{&registry_, [this](const std::string& name, bool serving) {
                              grpc_->SetServing(name, serving);
                            }};
  std::unique_ptr<rest::Server> rest_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<HealthWatch> watch_;
  std::unique_ptr<HealthWatch> live_watch_;
  std::unique_ptr<Ticker> token_ticker_;
  std::unique_ptr<HealthWatch> room_watch_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> loaded_{false};
  std::atomic<bool> models_at_work_{false};
  bool began_ = false;                     // what ReadinessChanged saw of it
  absl::Status load_status_;               // written before loaded_, read after
  std::unique_ptr<Ticker> models_ticker_;  // last: its thread uses everything above
};

int Fail(const absl::Status& status) {
  StopLog();
  WriteLastLine(Concat("pixpool-server: ", ExplainMessage(std::string(status.message()))));
  return 1;
}

}  // namespace

int Serve(const Config& config, const std::vector<std::string>& warnings) {
  const StopSignal stop;
  TuneAllocator(AvailableCpuCount(), MemoryOf(config.pipeline.memory));
  BoundLibraryCaches();
  StartLog(LogLevelFromName(config.log.level.value()));
  TakeGrpcLog();
  for (const std::string& warning : warnings) {
    Log(LogLevel::kWarning, "configuration", {{"message", warning}});
  }
  Process process(config);
  if (absl::Status status = process.Start(); !status.ok()) {
    process.Close();
    return Fail(status);
  }
  if (absl::Status status = process.WaitForStop(stop); !status.ok()) {
    process.Close();
    return Fail(status);
  }
  const bool finished = process.Drain(stop);
  StopLog();
  return finished ? 0 : 1;
}

}  // namespace pixpool
