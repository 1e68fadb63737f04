#include "client/bench/answer.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/error.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "inference/grpc_service.pb.h"

namespace pixpool::bench {
namespace {

using google::protobuf::io::CodedInputStream;

bool SkipField(CodedInputStream& in, uint32_t tag) {
  uint64_t number;
  uint32_t length;
  switch (tag & 7) {
    case 0:
      return in.ReadVarint64(&number);
    case 1:
      return in.Skip(8);
    case 2:
      return in.ReadVarint32(&length) && in.Skip(static_cast<int>(length));
    case 5:
      return in.Skip(4);
    default:
      return false;
  }
}

// Calls `field` with each tag up to the end of the message or limit. `field` reads the field and
// returns whether it could.
template <typename Field>
bool ForEachField(CodedInputStream& in, const Field& field) {
  while (const uint32_t tag = in.ReadTag()) {
    if (!field(tag)) return false;
  }
  return in.ConsumedEntireMessage();
}

// Reads an embedded message by `body`.
template <typename Body>
bool Nested(CodedInputStream& in, const Body& body) {
  uint32_t length;
  if (!in.ReadVarint32(&length)) return false;
  const CodedInputStream::Limit limit = in.PushLimit(static_cast<int>(length));
  const bool ok = body() && in.BytesUntilLimit() == 0;  // else the input ended before
  in.PopLimit(limit);
  return ok;
}

template <typename Message>
bool Parse(CodedInputStream& in, Message& message) {
  uint32_t length;
  std::string bytes;
  return in.ReadVarint32(&length) && in.ReadString(&bytes, static_cast<int>(length)) &&
         message.ParseFromString(bytes);
}

constexpr uint32_t Tag(int number, int wire_type) {
  return static_cast<uint32_t>(number) << 3 | static_cast<uint32_t>(wire_type);
}

int64_t Nanoseconds(const google::protobuf::Duration& d) {
  return d.seconds() * 1000000000 + d.nanos();
}

bool ReadStages(CodedInputStream& in, Answer& answer) {
  v1::StageTimes t;
  if (!Parse(in, t)) return false;
  answer.stages = {Nanoseconds(t.queue()),      Nanoseconds(t.decode()),
                   Nanoseconds(t.preprocess()), Nanoseconds(t.batch_wait()),
                   Nanoseconds(t.backbone()),   Nanoseconds(t.heads()),
                   Nanoseconds(t.draw())};
  return true;
}

// An ImageResult. With `stages`, those of the picture are read.
bool ReadImage(CodedInputStream& in, bool stages, Answer& answer) {
  return Nested(in, [&] {
    return ForEachField(in, [&](uint32_t tag) {
      if (tag == Tag(v1::ImageResult::kIndexFieldNumber, 0)) {
        uint64_t index;
        if (!in.ReadVarint64(&index)) return false;
        answer.index = static_cast<int64_t>(index);
        return true;
      }
      if (tag == Tag(v1::ImageResult::kStatusFieldNumber, 2)) {
        google::rpc::Status status;
        if (!Parse(in, status)) return false;
        answer.failed_images.push_back(client::FromRpcStatus(status));
        return true;
      }
      if (tag != Tag(v1::ImageResult::kFeaturesFieldNumber, 2)) return SkipField(in, tag);
      ++answer.images_ok;
      if (!stages) return SkipField(in, tag);
      return Nested(in, [&] {
        return ForEachField(in, [&](uint32_t inner) {
          return inner == Tag(v1::Features::kStageTimesFieldNumber, 2) ? ReadStages(in, answer)
                                                                       : SkipField(in, inner);
        });
      });
    });
  });
}

bool ReadPixpool(CodedInputStream& in, bool stream, Answer& answer) {
  static_assert(int{v1::ExtractFeaturesResponse::kResultsFieldNumber} ==
                int{v1::StreamFeaturesResponse::kResultFieldNumber});
  return ForEachField(in, [&](uint32_t tag) {
    if (tag == Tag(v1::ExtractFeaturesResponse::kResultsFieldNumber, 2)) {
      return ReadImage(in, stream, answer);
    }
    if (!stream && tag == Tag(v1::ExtractFeaturesResponse::kStageTimesFieldNumber, 2)) {
      return ReadStages(in, answer);
    }
    return SkipField(in, tag);
  });
}

// An entry of ModelInferResponse.parameters: "backbone_us" and the like.
bool ReadParameter(CodedInputStream& in, Answer& answer) {
  return Nested(in, [&] {
    std::string key;
    inference::InferParameter value;
    const bool ok = ForEachField(in, [&](uint32_t tag) {
      if (tag == Tag(1, 2)) {
        uint32_t length;
        return in.ReadVarint32(&length) && in.ReadString(&key, static_cast<int>(length));
      }
      return tag == Tag(2, 2) ? Parse(in, value) : SkipField(in, tag);
    });
    for (size_t s = 0; s < kStageCount; ++s) {
      if (key != absl::StrCat(kStages[s], "_us")) continue;
      if (!answer.stages) answer.stages.emplace();
      (*answer.stages)[s] = value.int64_param() * 1000;
    }
    return ok;
  });
}

bool ReadInferResponse(CodedInputStream& in, int batch, Answer& answer) {
  bool any = false;
  const bool ok = ForEachField(in, [&](uint32_t tag) {
    any = any || tag == Tag(inference::ModelInferResponse::kOutputsFieldNumber, 2);
    return tag == Tag(inference::ModelInferResponse::kParametersFieldNumber, 2)
               ? ReadParameter(in, answer)
               : SkipField(in, tag);
  });
  answer.images_ok = any ? batch : 0;
  return ok;
}

// "OVERLOADED: message" of a request that failed inside a stream. The protocol carries no code
// there; the reason says as much.
absl::Status StreamError(const std::string& text) {
  const std::string reason = text.substr(0, text.find(':'));
  absl::Status status = absl::UnknownError(text);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo",
                    absl::Cord(info.SerializeAsString()));
  return status;
}

bool ReadStreamInferResponse(CodedInputStream& in, int batch, Answer& answer) {
  return ForEachField(in, [&](uint32_t tag) {
    if (tag == Tag(inference::ModelStreamInferResponse::kErrorMessageFieldNumber, 2)) {
      uint32_t length;
      std::string text;
      if (!in.ReadVarint32(&length) || !in.ReadString(&text, static_cast<int>(length))) {
        return false;
      }
      if (!text.empty()) answer.request = StreamError(text);
      return true;
    }
    if (tag == Tag(inference::ModelStreamInferResponse::kInferResponseFieldNumber, 2)) {
      return Nested(in, [&] { return ReadInferResponse(in, batch, answer); });
    }
    return SkipField(in, tag);
  });
}

}  // namespace

absl::StatusOr<Answer> ReadAnswer(const Workload& workload, grpc::ByteBuffer& response) {
  Answer answer;
  answer.bytes = response.Length();
  grpc::ProtoBufferReader reader(&response);
  CodedInputStream in(&reader);
  const WorkloadOptions& options = workload.options();
  bool ok;
  if (options.api == Api::kPixpool) {
    ok = ReadPixpool(in, options.stream, answer);
  } else if (options.stream) {
    ok = ReadStreamInferResponse(in, options.batch, answer);
  } else {
    ok = ReadInferResponse(in, options.batch, answer);
  }
  if (!ok) return absl::InternalError("the response cannot be read");
  return answer;
}

}  // namespace pixpool::bench
