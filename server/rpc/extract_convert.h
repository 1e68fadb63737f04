// Requests and results of ExtractFeatures and StreamFeatures between the wire and the pipeline.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "pixpool/v1/feature_service.pb.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"

namespace pixpool {

// Longest request_id, in printable ASCII characters.
inline constexpr size_t kMaxRequestIdLength = 128;

// Input options; field paths are relative to them.
absl::StatusOr<InputOptions> InputOptionsFromProto(const v1::InputOptions& options);

// A request's or a stream's id must be loggable: at most kMaxRequestIdLength printable ASCII
// characters, else REQUEST_INVALID naming `field`.
absl::Status CheckRequestId(std::string_view field, const std::string& id);

// The native form of a request. The images' bytes are not copied: `request` must outlive the
// result. `owner` and `context` are left to the caller.
absl::StatusOr<ExtractRequest> ExtractRequestFromProto(const v1::ExtractFeaturesRequest& request);

// The same for the parts of a stream.
absl::StatusOr<ExtractRequest> StreamRequestFromProto(const v1::StreamConfig& config,
                                                      const v1::Image& image);

// One image's result. Takes the values over.
void ImageResultToProto(const ExtractResult& result, ImageFeatures&& image, v1::ImageResult* out);

// The reply of a unary call. `result.status` must be OK.
void ExtractResultToProto(const v1::ExtractFeaturesRequest& request, ExtractResult&& result,
                          v1::ExtractFeaturesResponse* out);

// What the log says of a result: model, failed images, stage times. `result.status` must be OK.
void NoteResult(const ExtractResult& result, CallRecord* record);

// Where a call with this result counts; null: its model was not found.
std::shared_ptr<ModelMetrics> MetricsOf(const ExtractResult& result);

// The longest time of each stage over the images of a result.
StageDurations LongestTimes(const ExtractResult& result);

void StageTimesToProto(const StageDurations& times, v1::StageTimes* out);
void ModelReferenceToProto(const ModelInfo& info, v1::ModelReference* out);

}  // namespace pixpool
