#include "server/rest/embeddings.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "nlohmann/json.hpp"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/pipeline/limits.h"
#include "server/rest/features.h"
#include "server/rest/form.h"
#include "server/rest/json_bounds.h"
#include "server/rest/json_writer.h"

namespace pixpool::rest {
namespace {

using nlohmann::json;

constexpr size_t kMostValues = 4096;
constexpr size_t kMostDepth = 16;
constexpr char kDefaultHead[] = "global_avg:l2";

// What an answer says of itself.
struct Wanted {
  std::string model;  // as the request named it
  bool base64 = false;
};

absl::Status Invalid(std::string_view field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)},
                   Concat(field, ": ", message));
}

// A text of the request, or nothing where it is null or not there.
absl::StatusOr<std::string_view> TextOf(const json& request, const char* name) {
  const auto found = request.find(name);
  if (found == request.end() || found->is_null()) return std::string_view();
  if (!found->is_string()) return Invalid(name, "it must be a text");
  return std::string_view(found->get_ref<const std::string&>());
}

class Pictures {
 public:
  explicit Pictures(FlagNumber most) : most_(most) {}

  // One picture, as `input` or a part of it.
  absl::Status Add(const json& value, const std::string& path) {
    if (value.is_object()) {
      const auto image = value.find("image");
      if (image == value.end() || !image->is_string()) {
        return Invalid(path, "an object must have the text \"image\"; texts are not embedded");
      }
      return AddText(image->get_ref<const std::string&>(), path + ".image", true);
    }
    if (!value.is_string()) return Invalid(path, "it must be a picture as a data URI");
    return AddText(value.get_ref<const std::string&>(), path, false);
  }

  // The parts of a message that are pictures.
  absl::Status AddMessage(const json& message, const std::string& path) {
    const auto content = message.is_object() ? message.find("content") : message.end();
    if (!message.is_object() || content == message.end() || !content->is_array()) {
      return Invalid(path, "its content must be a list of parts of the type image_url");
    }
    for (size_t i = 0; i < content->size(); ++i) {
      const std::string at = Concat(path, ".content[", i, "]");
      const json& part = (*content)[i];
      const auto url = part.is_object() ? part.find("image_url") : part.end();
      if (!part.is_object() || url == part.end()) {
        return Invalid(at, "only parts with an image_url are embedded, not texts");
      }
      // {"url": "..."} is OpenAI's form; some clients send the text alone.
      const json& text = url->is_object() && url->contains("url") ? (*url)["url"] : *url;
      if (!text.is_string()) return Invalid(at + ".image_url", "its url must be a text");
      PIXPOOL_RETURN_IF_ERROR(
          AddText(text.get_ref<const std::string&>(), at + ".image_url", false));
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Take() { return std::move(files_); }

 private:
  absl::Status AddText(std::string_view text, const std::string& path, bool may_be_bare) {
    if (std::cmp_greater_equal(files_.size(), most_.value)) {
      return OverLimit("input", "too many images in one request",
                       static_cast<int64_t>(files_.size()) + 1, most_, "split the request");
    }
    for (const std::string_view scheme : {"http://", "https://"}) {
      if (!text.starts_with(scheme)) continue;
      return Invalid(path,
                     "the server fetches nothing; send the picture itself as a data URI "
                     "(data:image/jpeg;base64,...)");
    }
    std::string_view data = text;
    if (text.starts_with("data:")) {
      const size_t comma = text.find(',');
      const std::string_view kind = text.substr(0, comma);
      if (comma == text.npos || !kind.ends_with(";base64")) {
        return Invalid(path, "the data URI must be data:image/...;base64,...");
      }
      data = text.substr(comma + 1);
    } else if (!may_be_bare) {
      return Invalid(path,
                     "texts are not embedded; send a picture as a data URI "
                     "(data:image/jpeg;base64,...)");
    }
    std::string file;
    if (!absl::Base64Unescape(ToAbsl(data), &file)) return Invalid(path, "it is no valid base64");
    files_.push_back(std::move(file));
    return absl::OkStatus();
  }

  const FlagNumber most_;
  std::vector<std::string> files_;
};

absl::StatusOr<std::vector<std::string>> PicturesOf(const json& request, FlagNumber most) {
  Pictures pictures(most);
  const auto input = request.find("input");
  const auto messages = request.find("messages");
  if ((input == request.end()) == (messages == request.end())) {
    return Invalid("input", "give pictures as input, or as parts of messages");
  }
  const json& list = input != request.end() ? *input : *messages;
  if (messages != request.end()) {
    if (!list.is_array()) return Invalid("messages", "it must be a list");
    for (size_t i = 0; i < list.size(); ++i) {
      PIXPOOL_RETURN_IF_ERROR(pictures.AddMessage(list[i], Concat("messages[", i, "]")));
    }
  } else if (list.is_array()) {
    for (size_t i = 0; i < list.size(); ++i) {
      PIXPOOL_RETURN_IF_ERROR(pictures.Add(list[i], Concat("input[", i, "]")));
    }
  } else {
    PIXPOOL_RETURN_IF_ERROR(pictures.Add(list, "input"));
  }
  std::vector<std::string> files = pictures.Take();
  if (files.empty()) return Invalid("input", "there is no picture");
  return files;
}

absl::Status SetDimensions(const json& request, HeadRequest* head) {
  const auto found = request.find("dimensions");
  if (found == request.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_number_integer() || *found < 1) {
    return Invalid("dimensions", "it must be a whole number above 0");
  }
  head->dimensions = found->get<int64_t>();
  return absl::OkStatus();
}

// The error of a picture, under the name that the caller has for it.
absl::Status OfInput(const absl::Status& status, size_t index) {
  std::optional<ErrorDetails> details = GetErrorDetails(status);
  if (!details) return status;
  details->field = Concat("input[", index, "]");
  return MakeError(*details, ToStd(status.message()));
}

absl::StatusOr<Answer> EmbeddingsAnswer(const Wanted& wanted, const ExtractResult& result) {
  const HeadSpec& head = result.heads->front();
  JsonWriter json_out;
  json_out.Begin('{').Key("object").Text("list").Key("data").Begin('[');
  for (size_t i = 0; i < result.images.size(); ++i) {
    const ImageFeatures& image = result.images[i];
    if (!image.status.ok()) return OfInput(image.status, i);
    const HeadOutput& output = image.outputs[0];
    json_out.Begin('{').Key("object").Text("embedding").Key("index").Number(i).Key("embedding");
    if (wanted.base64) {
      json_out.Text(
          absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(output.values.data()),
                                               output.values.size() * sizeof(float))));
    } else {
      json_out.Numbers(output.values);
    }
    json_out.End('}');
  }
  json_out.End(']').Key("model").Text(wanted.model.empty() ? result.model->info().name
                                                           : wanted.model);
  json_out.Key("usage").Begin('{').Key("prompt_tokens").Number(0);
  json_out.Key("total_tokens").Number(0).End('}');
  json_out.Key("space_id").Text(head.space_id).End('}');
  Answer answer;
  answer.body = json_out.Take() + "\n";
  return answer;
}

absl::Status CheckVector(const HeadRequest& head) {
  const HeadType* type = FindHeadType(head.kind);
  if (type->output == HeadOutputKind::kVector && head.encoding == Encoding::kFloat32) {
    return absl::OkStatus();
  }
  return MakeError({.reason = ErrorReason::kHeadInvalid, .field = "model"},
                   Concat("model: the head ", head.kind,
                          " gives no vector of floats; take another one, or /v1/features"));
}

}  // namespace

std::optional<Answer> CheckEmbeddingsHead(const RequestHead& head) {
  const auto value = head.Only("content-type");
  const auto type = value ? ParseMediaType(*value) : std::nullopt;
  if (!type || type->type != "application/json") {
    return Problem(415, "the body must be JSON; send it with Content-Type: application/json");
  }
  for (const std::string_view coding : head.Values("content-encoding")) {
    if (coding == "identity") continue;
    return Problem(415, "bodies are not decompressed; send it without Content-Encoding");
  }
  return std::nullopt;
}

absl::StatusOr<Work> EmbeddingsWork(std::shared_ptr<const std::string> body,
                                    const PipelineOptions& options) {
  if (!WithinJsonBounds(*body, kMostValues, kMostDepth)) {
    return MakeError(ErrorReason::kLimitExceeded,
                     Concat("the body has more than ", kMostValues, " values, or lists more than ",
                            kMostDepth, " deep"));
  }
  const json request = json::parse(*body, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (request.is_discarded() || !request.is_object()) {
    return MakeError(ErrorReason::kRequestInvalid, "the body is no JSON object");
  }
  body.reset();
  auto files = PicturesOf(request, options.max_images_per_request);
  if (!files.ok()) return files.status();
  PIXPOOL_ASSIGN_OR_RETURN(const std::string_view model, TextOf(request, "model"));
  PIXPOOL_ASSIGN_OR_RETURN(const std::string_view encoding, TextOf(request, "encoding_format"));
  if (!encoding.empty() && encoding != "float" && encoding != "base64") {
    return Invalid("encoding_format", "it must be float or base64");
  }
  const size_t slash = model.find('/');
  const std::string_view head =
      slash == model.npos ? std::string_view(kDefaultHead) : model.substr(slash + 1);
  auto heads = HeadsFromTexts({head}, options.max_heads_per_request);
  if (!heads.ok()) {
    // The head stands in the model's name.
    auto details = GetErrorDetails(heads.status()).value_or(ErrorDetails{});
    details.field = "model";
    return MakeError(details, Concat("model: ", ToStd(heads.status().message())));
  }
  PIXPOOL_RETURN_IF_ERROR(CheckVector(heads->front()));
  PIXPOOL_RETURN_IF_ERROR(SetDimensions(request, &heads->front()));
  Work work;
  work.request.model = std::string(model.substr(0, slash));
  work.request.heads = *std::move(heads);
  const auto kept = std::make_shared<const std::vector<std::string>>(*std::move(files));
  for (const std::string& file : *kept) work.request.images.push_back({.encoded = file});
  work.request.owner = kept;
  work.answer = [wanted = Wanted{.model = std::string(model), .base64 = encoding == "base64"}](
                    ExtractResult* result) { return EmbeddingsAnswer(wanted, *result); };
  return work;
}

}  // namespace pixpool::rest
