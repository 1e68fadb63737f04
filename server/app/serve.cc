#include "server/app/serve.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "grpcpp/grpcpp.h"
#include "server/app/loader.h"
#include "server/base/cpu_quota.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/memory_limit.h"
#include "server/base/status_macros.h"
#include "server/base/version.h"
#include "server/kserve/service.h"
#include "server/metrics/http_server.h"
#include "server/pipeline/memory_plan.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/feature_service.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/head_fields.h"
#include "server/torch/torch_env.h"

namespace pixpool {
namespace {

constexpr const char* kServiceNames[] = {"pixpool.v1.FeatureService",
                                         "inference.GRPCInferenceService"};

// SIGTERM and SIGINT as something that can be waited for. They are blocked in every thread from
// construction on.
class StopSignal {
 public:
  StopSignal() {
    std::signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  // Whether a signal came within `wait`.
  bool WaitFor(std::chrono::milliseconds wait) const {
    const timespec t{.tv_sec = wait.count() / 1000, .tv_nsec = wait.count() % 1000 * 1'000'000};
    return sigtimedwait(&set_, nullptr, &t) > 0;
  }

  void Wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
  }

  // From now on a signal ends the process.
  void Release() const { pthread_sigmask(SIG_UNBLOCK, &set_, nullptr); }

 private:
  sigset_t set_;
};

// Everything that lives as long as the process serves; members are destroyed in reverse, users
// first.
class Process {
 public:
  explicit Process(const Config& config)
      : config_(config),
        cores_(AvailableCpuCount()),
        registry_(config.registry.default_model),
        pipeline_(config.pipeline, &registry_, &metrics_, Clock::Real()),
        service_(config.rpc, &pipeline_, &registry_, &metrics_, Clock::Real()),
        kserve_({.call = config.rpc.call, .version = kVersion, .ready = [this] { return ready(); }},
                &pipeline_, &registry_, &metrics_, Clock::Real()) {
    std::vector<std::string> kinds;
    for (const HeadType& type : HeadTypes()) kinds.emplace_back(type.name);
    metrics_.DeclareHeads(kinds);
    metrics_.SetBuildInfo(kVersion, grpc::Version(), TorchVersion());
    metrics_.SetGaugeSource([this] { return pipeline_.Gauges(); });
  }

  ~Process() {
    if (loader_.joinable()) loader_.join();
  }

  // Opens the ports and begins to load. Probes answer "not ready" until the models are.
  absl::Status Start() {
    PIXPOOL_RETURN_IF_ERROR(
        CheckHeads(*v1::Head::descriptor()->FindOneofByName("kind"), HeadTypes()));
    // LoadModel asks again; here a device that is not there ends the start at once.
    PIXPOOL_RETURN_IF_ERROR(ResolveDevice(config_.model.device).status());
    PIXPOOL_RETURN_IF_ERROR(RegisterBundles(config_.process.models_dir, &registry_));
    PIXPOOL_ASSIGN_OR_RETURN(grpc_, StartGrpcServer(config_.rpc, {&service_, &kserve_}));
    SetServing(false);
    const std::string& http_listen = config_.http.listen;
    if (!http_listen.empty()) {
      HttpHandlers handlers{.metrics = [this] { return metrics_.Scrape(); },
                            .live = [] { return true; },
                            .ready = [this] { return ready(); }};
      PIXPOOL_ASSIGN_OR_RETURN(http_, StartHttpServer(http_listen, std::move(handlers)));
    }
    Log(LogLevel::kInfo, "listening",
        {{"grpc", config_.rpc.listen.value()}, {"http", http_listen}, {"cores", cores_}});
    loader_ = std::thread([this] {
      load_status_ =
          LoadBundles(config_.process.models_dir, config_.model, cores_, &registry_, &metrics_,
                      [this](const std::string& name) { grpc_->SetServing(name, true); });
      if (load_status_.ok()) load_status_ = pipeline_.BoundMemory(ResidentBytes());
      if (load_status_.ok()) SetServing(true);
      loaded_ = true;
    });
    return absl::OkStatus();
  }

  // Waits for a signal. Not OK where the models could not be loaded.
  absl::Status WaitForStop(const StopSignal& stop) {
    while (!loaded_) {
      if (stop.WaitFor(std::chrono::milliseconds(20))) return absl::OkStatus();
    }
    if (!load_status_.ok()) return load_status_;
    Log(LogLevel::kInfo, "ready");
    stop.Wait();
    return absl::OkStatus();
  }

  // Not ready, then closed to new work, then finished. Returns whether all admitted work was.
  bool Drain(const StopSignal& stop) {
    Log(LogLevel::kInfo, "draining");
    draining_ = true;
    grpc_->SetNotServing();
    const std::chrono::milliseconds delay = config_.process.drain_delay;
    if (delay > delay.zero()) stop.WaitFor(delay);
    stop.Release();
    const bool finished = pipeline_.Drain(absl::FromChrono(config_.process.drain_timeout.value()));
    // Replies of finished calls are still being written; streams that idle and health watches are
    // cut.
    grpc_->Shutdown(finished ? absl::Milliseconds(300) : absl::ZeroDuration());
    if (!finished) pipeline_.Drain(absl::Seconds(5));
    Log(finished ? LogLevel::kInfo : LogLevel::kWarning, "stopped", {{"finished", finished}});
    return finished;
  }

  void Close() {
    if (grpc_ != nullptr) grpc_->Shutdown(absl::ZeroDuration());
  }

 private:
  bool ready() const { return !draining_ && registry_.AllReady(); }

  void SetServing(bool serving) {
    grpc_->SetServing("", serving);
    for (const char* name : kServiceNames) grpc_->SetServing(name, serving);
    if (serving) return;
    for (const ModelEntry& entry : registry_.List()) grpc_->SetServing(entry.name, false);
  }

  const Config config_;
  const int cores_;
  Metrics metrics_;
  ModelRegistry registry_;
  Pipeline pipeline_;
  FeatureService service_;
  kserve::Service kserve_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<HttpServer> http_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> loaded_{false};
  absl::Status load_status_;  // written before loaded_, read after
  std::thread loader_;
};

int Fail(const absl::Status& status) {
  StopLog();
  std::fprintf(stderr, "pixpool-server: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int Serve(const Config& config) {
  const StopSignal stop;
  TuneAllocator(AvailableCpuCount(), MemoryOf(config.pipeline.memory));
  BoundLibraryCaches();
  StartLog(LogLevelFromName(config.log.level.value()));
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
