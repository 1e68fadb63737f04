// Every metric of the server: names and labels are in metrics.cc and gauge_rows.h, buckets in
// buckets.h, values of labels that are enumerators here, and nowhere else. Callers say what
// happened; handles are resolved once, so nothing on the request path looks a label up. Label
// values come from fixed sets, from the models that are loaded and from the operator's file of
// tokens: a client cannot make a series.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/base/call_context.h"
#include "server/base/enum_names.h"
#include "server/base/error.h"

namespace pixpool {

// Label `method` of pixpool_requests_total: the calls of pixpool.v1, those of the Open Inference
// Protocol, then the paths of the HTTP API.
enum class RpcMethod {
  kExtractFeatures,
  kStreamFeatures,
  kPoolTensor,
  kListModels,
  kGetModel,
  kModelInfer,
  kModelStreamInfer,
  kServerLive,
  kServerReady,
  kServerMetadata,
  kModelReady,
  kModelMetadata,
  kModelConfig,
  kModelStatistics,
  kRepositoryIndex,
  kRepositoryModelLoad,
  kRepositoryModelUnload,
  kRestFeatures,
  kRestEmbeddings,
  kRestModels,
  kRestModel,
  kRestOther,
};

// The method's name in its .proto file, which proto_names_test compares, or a path.
constexpr std::string_view RpcMethodName(RpcMethod method) {
  switch (method) {
    case RpcMethod::kExtractFeatures:
      return "ExtractFeatures";
    case RpcMethod::kStreamFeatures:
      return "StreamFeatures";
    case RpcMethod::kPoolTensor:
      return "PoolTensor";
    case RpcMethod::kListModels:
      return "ListModels";
    case RpcMethod::kGetModel:
      return "GetModel";
    case RpcMethod::kModelInfer:
      return "ModelInfer";
    case RpcMethod::kModelStreamInfer:
      return "ModelStreamInfer";
    case RpcMethod::kServerLive:
      return "ServerLive";
    case RpcMethod::kServerReady:
      return "ServerReady";
    case RpcMethod::kServerMetadata:
      return "ServerMetadata";
    case RpcMethod::kModelReady:
      return "ModelReady";
    case RpcMethod::kModelMetadata:
      return "ModelMetadata";
    case RpcMethod::kModelConfig:
      return "ModelConfig";
    case RpcMethod::kModelStatistics:
      return "ModelStatistics";
    case RpcMethod::kRepositoryIndex:
      return "RepositoryIndex";
    case RpcMethod::kRepositoryModelLoad:
      return "RepositoryModelLoad";
    case RpcMethod::kRepositoryModelUnload:
      return "RepositoryModelUnload";
    case RpcMethod::kRestFeatures:
      return "/v1/features";
    case RpcMethod::kRestEmbeddings:
      return "/v1/embeddings";
    case RpcMethod::kRestModels:
      return "/v1/models";
    case RpcMethod::kRestModel:
      return "/v1/models/NAME";
    case RpcMethod::kRestOther:
      return "/other";
  }
  return {};
}
inline constexpr int kRpcMethodCount = NamedCount(RpcMethodName);

// Whether it is a path of the HTTP API.
constexpr bool IsPath(RpcMethod method) { return RpcMethodName(method).starts_with('/'); }

// Stages of one image; label `stage` of pixpool_stage_duration_seconds. kConvert is a request's
// reply conversion.
enum class Stage { kQueue, kDecode, kPreprocess, kBatchWait, kBackbone, kHeads, kDraw, kConvert };
constexpr std::string_view StageName(Stage stage) {
  switch (stage) {
    case Stage::kQueue:
      return "queue";
    case Stage::kDecode:
      return "decode";
    case Stage::kPreprocess:
      return "preprocess";
    case Stage::kBatchWait:
      return "batch_wait";
    case Stage::kBackbone:
      return "backbone";
    case Stage::kHeads:
      return "heads";
    case Stage::kDraw:
      return "draw";
    case Stage::kConvert:
      return "convert";
  }
  return {};
}
inline constexpr int kStageCount = NamedCount(StageName);

// Why a connection was closed that gRPC never saw; label `reason`.
enum class ConnectionRefusal { kFull, kAddress, kRate, kNoPreface, kDescriptors };
constexpr std::string_view ConnectionRefusalName(ConnectionRefusal refusal) {
  switch (refusal) {
    case ConnectionRefusal::kFull:  // as many are open as may be
      return "full";
    case ConnectionRefusal::kAddress:  // its address has as many as it may
      return "address";
    case ConnectionRefusal::kRate:  // its address begins too many
      return "rate";
    case ConnectionRefusal::kNoPreface:  // said nothing in time, or neither HTTP/2 nor TLS
      return "no_preface";
    case ConnectionRefusal::kDescriptors:  // the process has none left
      return "descriptors";
  }
  return {};
}
inline constexpr int kConnectionRefusalCount = NamedCount(ConnectionRefusalName);

// How regions of images are looked at; label `mode`.
enum class RegionMode { kMap, kCrop };
constexpr std::string_view RegionModeName(RegionMode mode) {
  switch (mode) {
    case RegionMode::kMap:
      return "map";
    case RegionMode::kCrop:
      return "crop";
  }
  return {};
}
inline constexpr int kRegionModeCount = NamedCount(RegionModeName);

// What became of spans that were made for the collector of traces; label `outcome`.
enum class SpanEnd { kSent, kQueueFull, kFailed };
constexpr std::string_view SpanEndName(SpanEnd end) {
  switch (end) {
    case SpanEnd::kSent:
      return "sent";
    case SpanEnd::kQueueFull:  // the collector takes fewer than there are
      return "queue_full";
    case SpanEnd::kFailed:  // the collector was not there, too slow, or refused them
      return "failed";
  }
  return {};
}
inline constexpr int kSpanEndCount = NamedCount(SpanEndName);

// What the response cache did for an image; label `outcome`.
enum class CacheUse { kHit, kShared, kMiss };
constexpr std::string_view CacheUseName(CacheUse use) {
  switch (use) {
    case CacheUse::kHit:  // its answer was kept
      return "hit";
    case CacheUse::kShared:  // it waited for the answer of another that was worked on
      return "shared";
    case CacheUse::kMiss:  // it was worked on
      return "miss";
  }
  return {};
}
inline constexpr int kCacheUseCount = NamedCount(CacheUseName);

// Why the response cache gave an answer up; label `reason`.
enum class AnswerDrop { kFull, kModel };
constexpr std::string_view AnswerDropName(AnswerDrop drop) {
  switch (drop) {
    case AnswerDrop::kFull:  // others came
      return "full";
    case AnswerDrop::kModel:  // its model left, or was loaded anew
      return "model";
  }
  return {};
}
inline constexpr int kAnswerDropCount = NamedCount(AnswerDropName);

// Whether a call of the method may ask a model for work, so that it counts as the model's.
constexpr bool CallsModel(RpcMethod method) {
  switch (method) {
    case RpcMethod::kExtractFeatures:
    case RpcMethod::kStreamFeatures:
    case RpcMethod::kModelInfer:
    case RpcMethod::kModelStreamInfer:
    case RpcMethod::kRestFeatures:
    case RpcMethod::kRestEmbeddings:
      return true;
    default:
      return false;
  }
}

// The series of one version of a model, or of calls without one: those for tensors, questions, and
// calls that ended before their model was found. Their labels `model` and `version` are empty.
//
// Thread-safe; every method is non-blocking and cheap. From Metrics, which must outlive it.
class ModelMetrics {
 public:
  ~ModelMetrics();
  ModelMetrics(const ModelMetrics&) = delete;
  ModelMetrics& operator=(const ModelMetrics&) = delete;

  // Counts a finished call once, at its end. `code` is the gRPC status code. Of a method that calls
  // no model it counts as a call without one.
  void RequestDone(RpcMethod method, absl::StatusCode code, double seconds);
  // One image's outcome: OK, or the reason of its error. Of models only.
  void ImageDone(const absl::Status& status);
  // An image that was dropped because its client went away or its time ran out, and where.
  void Cancelled(Stage stage, ErrorReason reason);
  void StageTime(Stage stage, double seconds);
  // An image of a server that has a response cache. Of models only.
  void CacheUsed(CacheUse use);
  // Images of a backbone pass. Of models only.
  void BatchSize(int images);

 private:
  friend class Metrics;
  struct Series;
  explicit ModelMetrics(std::unique_ptr<Series> series);
  const std::unique_ptr<Series> series_;
};

// Gauges of one model, read at scrape time.
struct ModelReadings {
  std::shared_ptr<ModelMetrics> model;  // null: of work without one
  double queue_depth = 0;  // images admitted that wait for a decode thread, memory or a batch
  double oldest_pass_seconds = 0;  // what the oldest backbone pass under way has taken
  std::array<double, kPriorityCount> oldest_wait_seconds{};  // of its queue, by Priority
};

// How a GPU is that models run on; what it does not tell is left out.
struct GpuReadings {
  std::string device;  // "cuda:0", as CUDA numbers those that the process may use
  std::string uuid;    // as NVIDIA's tools call it: "GPU-...", or "MIG-..." of a part of one
  std::optional<double> memory_used;  // bytes
  std::optional<double> memory_total;
  std::optional<double> utilization;  // 0 to 1
  std::optional<double> celsius;
  std::optional<double> watts;
};

// Gauges read at scrape time; each has its row in gauge_rows.h.
struct GaugeReadings {
  double queue_capacity = 0;  // most requests that may be in flight
  double overloaded = 0;      // 1 while interactive images are refused beyond image_limit
  double image_limit = 0;
  double requests_in_flight = 0;
  double calls_waiting_for_models = 0;  // that are loaded for them
  double bytes_in_flight = 0;
  double bytes_capacity = 0;
  double pixels_in_flight = 0;
  double pixels_capacity = 0;
  double unread_answers = 0;  // that gRPC has not written yet
  double unread_answer_bytes = 0;
  double network_memory = 0;  // bytes of passes, and of what models keep between them
  double network_memory_capacity = 0;
  double passes_waiting = 0;  // for memory
  double cached_answers = 0;  // in the response cache
  double cache_bytes = 0;
  double cache_capacity = 0;  // 0: there is none
  double memory_limit = 0;    // bytes that the process may use; 0: nobody says
  double decode_threads = 0;
  double instance_threads = 0;
  double draw_threads = 0;
  double reply_threads = 0;
  double decode_workers = 0;           // processes that decode; 0: the server does
  double decode_workers_filtered = 0;  // of them, those whose system calls are filtered
  double connections = 0;
  double connections_capacity = 0;
};

// All that a scrape reads.
struct Readings : GaugeReadings {
  std::vector<ModelReadings> models;  // each once; what is not here has 0
  std::vector<GpuReadings> gpus;
};

// The process's metrics. Thread-safe; every method is non-blocking and cheap but Scrape.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  // The series of a version of a model, from 0 where there were none. They are there until all that
  // was returned for it is destroyed: keep it where the model is kept, and with each call that is
  // to be counted. Takes a lock and makes some 430 series, so call it when a model is loaded.
  std::shared_ptr<ModelMetrics> OfModel(std::string_view name, std::string_view version);
  // Those of calls without a model.
  ModelMetrics& no_model();

  // A request that Admission let in, or refused, by its reason: a call or an image of a stream.
  // `token` is the name of its caller's, or empty: one that is refused for overload, or since its
  // token allows no more, counts under it where it is declared.
  void Admitted(Priority priority);
  void Shed(ErrorReason reason, Priority priority, std::string_view token);
  // A call or stream ended because its client did not read.
  void AnswerDropped();
  void ConnectionRefused(ConnectionRefusal reason);
  void SpansEnded(SpanEnd end, size_t count);
  // A call that came in by a token of this name. Counts only for declared names.
  void TokenCall(std::string_view name);
  // Whether the file of tokens is not what is in force, because it cannot be read.
  void TokensRefused(bool refused);
  // Files of TLS that changed were taken, or refused.
  void TlsReload(bool taken);
  // Whether the files of TLS on the disk are not what is served, because they cannot be.
  void TlsFilesRefused(bool refused);
  // When the certificate that is served expires, in Unix seconds.
  void SetTlsCertificateEnd(double seconds);
  // The response cache gave up so many answers.
  void AnswersDropped(AnswerDrop reason, size_t count);
  // The regions of an image that was OK.
  void RegionsDone(RegionMode mode, size_t count);
  // Decoding or a pass was begun for a call that was over already.
  void WastedWork(Stage stage);
  // Formats and kinds of heads that are not declared count as "other".
  void ImageSeen(std::string_view format, double bytes, double pixels);
  void HeadRun(std::string_view kind);
  // A picture that was read in spite of damage. Counts only for declared formats and kinds.
  void ImageDamaged(std::string_view format, std::string_view kind);
  // A decode worker that was replaced. Counts only for declared causes.
  void DecodeWorkerFailed(std::string_view cause);

  // Declares the formats that ImageSeen may see. Call before serving.
  void DeclareFormats(const std::vector<std::string_view>& formats);
  // Declares the formats and kinds that ImageDamaged may see. Call before serving.
  void DeclareDamages(const std::vector<std::string_view>& formats,
                      const std::vector<std::string_view>& kinds);
  // Declares the causes that DecodeWorkerFailed may see. Call before serving.
  void DeclareDecodeWorkerFailures(const std::vector<std::string_view>& causes);
  // Declares all the names of tokens that calls may have, in place of those before; may be called
  // again.
  void DeclareTokens(const std::vector<std::string>& names);
  // Declares the head kinds that HeadRun may see. Call before serving.
  void DeclareHeads(const std::vector<std::string>& kinds);
  void SetBuildInfo(std::string_view version, std::string_view grpc, std::string_view torch);
  void SetModel(std::string_view name, std::string_view version, std::string_view engine,
                std::string_view device, std::string_view precision, bool ready,
                double load_seconds);
  // Ends the series of a model that serves no more.
  void DropModel(std::string_view name, std::string_view version);
  // A version was loaded, or could not be.
  void ModelLoaded(bool ready);
  // A version that nobody used is freed, until a call needs it; then it was loaded for those that
  // waited, the first of them so many seconds, or could not be. Of versions that SetModel told of.
  void ModelIdle(std::string_view name, std::string_view version);
  void ModelLoadedForCall(std::string_view name, std::string_view version, bool ready,
                          double seconds);
  // Versions that serve no new calls and have not been freed.
  void SetModelsLeaving(size_t count);
  // `read` is called at each scrape, from the scraping thread. Setting another one, or nullptr,
  // waits for a call under way: do so before what it reads is destroyed.
  void SetGaugeSource(std::function<Readings()> read);

  // The text exposition format, version 0.0.4.
  std::string Scrape();

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace pixpool
