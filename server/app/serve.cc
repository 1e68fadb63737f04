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
#include "server/base/status_macros.h"
#include "server/base/version.h"
#include "server/kserve/service.h"
#include "server/metrics/http_server.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/feature_service.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/head_fields.h"
#include "server/torch/torch_env.h"

namespace pixpool {
namespace {

constexpr const char* kServiceNames[] = {"pixpool.v1.FeatureService",
                                         "inference.GRPCInferenceService"};

PipelineOptions PipelineOptionsFrom(const Config& config, int cores) {
  PipelineOptions o;
  o.admission = {.max_requests = config.max_in_flight_requests,
                 .max_bytes = config.max_in_flight_bytes,
                 .max_pixels = config.max_in_flight_pixels,
                 .retry_after = absl::Milliseconds(config.retry_after_ms)};
  o.image = {.max_bytes = config.max_image_bytes,
             .max_pixels = config.max_image_pixels,
             .max_side = config.max_image_side};
  o.max_images_per_request = config.max_images_per_request;
  o.max_heads_per_request = config.max_heads_per_request;
  o.max_head_operations = config.max_head_operations;
  o.max_input_side = config.max_input_side;
  o.max_response_bytes = config.max_response_bytes;
  o.decode_threads = config.decode_threads > 0 ? config.decode_threads : cores;
  o.reply_threads = config.reply_threads;
  o.max_batch_size = config.max_batch_size;
  o.max_batch_delay = std::chrono::milliseconds(config.max_batch_delay_ms);
  return o;
}

ModelOptions ModelOptionsFrom(const Config& config, const std::string& device, int cores) {
  return {.engine = config.engine,
          .precision = config.precision,
          .device = device,
          .cores = cores,
          .instances = config.instances,
          .threads_per_instance = config.threads_per_instance};
}

CallOptions CallOptionsFrom(const Config& config) {
  return {.default_deadline = std::chrono::milliseconds(config.default_deadline_ms),
          .max_deadline = std::chrono::milliseconds(config.max_deadline_ms)};
}

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
        registry_(config.default_model),
        pipeline_(PipelineOptionsFrom(config, cores_), &registry_, &metrics_, Clock::Real()),
        service_({.call = CallOptionsFrom(config),
                  .max_stream_in_flight = config.max_stream_in_flight,
                  .max_message_bytes = config.max_message_bytes},
                 &pipeline_, &registry_, &metrics_, Clock::Real()),
        kserve_({.call = CallOptionsFrom(config),
                 .max_stream_in_flight = config.max_stream_in_flight,
                 .version = kVersion,
                 .ready = [this] { return ready(); }},
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
    PIXPOOL_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(config_.device));
    PIXPOOL_RETURN_IF_ERROR(RegisterBundles(config_.models_dir, &registry_));
    PIXPOOL_ASSIGN_OR_RETURN(grpc_,
                             StartGrpcServer({.listen = config_.listen,
                                              .reflection = config_.reflection,
                                              .max_message_bytes = config_.max_message_bytes},
                                             {&service_, &kserve_}));
    SetServing(false);
    if (!config_.http_listen.empty()) {
      HttpHandlers handlers{.metrics = [this] { return metrics_.Scrape(); },
                            .live = [] { return true; },
                            .ready = [this] { return ready(); }};
      PIXPOOL_ASSIGN_OR_RETURN(http_, StartHttpServer(config_.http_listen, std::move(handlers)));
    }
    Log(LogLevel::kInfo, "listening",
        {{"grpc", config_.listen}, {"http", config_.http_listen}, {"cores", cores_}});
    loader_ = std::thread([this, device] {
      load_status_ = LoadBundles(
          config_.models_dir, ModelOptionsFrom(config_, device, cores_), &registry_, &metrics_,
          [this](const std::string& name) { grpc_->SetServing(name, true); });
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
    if (config_.drain_delay_ms > 0) stop.WaitFor(std::chrono::milliseconds(config_.drain_delay_ms));
    stop.Release();
    const bool finished = pipeline_.Drain(absl::Milliseconds(config_.drain_timeout_ms));
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
  TuneAllocator(AvailableCpuCount());
  StartLog(LogLevelFromName(config.log_level));
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
