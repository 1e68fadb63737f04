#include "server/rest/features.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "proto/message_text.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/pipeline/limits.h"
#include "server/rest/features_answer.h"
#include "server/rest/form.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/head_convert.h"
#include "server/rpc/option_fields.h"
#include "server/rpc/priority.h"

namespace pixpool::rest {
namespace {

// Fields of a request beside its pictures, heads, boxes and options.
constexpr size_t kMostOtherFields = 32;
// Of a form: heads and boxes, names, and what frames its parts.
constexpr size_t kMostBytesBeside = 1 << 20;

constexpr char kForm[] = "multipart/form-data";
constexpr char kBodyWanted[] =
    "; send a picture with its own type, such as Content-Type: image/jpeg, or a form (curl -F "
    "image=@cat.jpg)";

absl::Status Invalid(std::string_view field, std::string_view message,
                     ErrorReason reason = ErrorReason::kRequestInvalid) {
  return MakeError({.reason = reason, .field = std::string(field)}, message);
}

std::optional<MediaType> ContentType(const RequestHead& head) {
  const auto value = head.Only("content-type");
  return value ? ParseMediaType(*value) : std::nullopt;
}

bool IsPicture(const MediaType& type) {
  return type.type.starts_with("image/") || type.type == "application/octet-stream";
}

// A text where a file was meant, as of "curl -F image=cat.jpg".
bool LooksLikeName(const Part& part) {
  constexpr size_t kLongName = 256;
  return !part.file_name && !part.value.empty() && part.value.size() <= kLongName &&
         std::all_of(part.value.begin(), part.value.end(),
                     [](char c) { return absl::ascii_isprint(static_cast<unsigned char>(c)); });
}

absl::StatusOr<RegionF> BoxFromText(std::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(ToAbsl(text), ',');
  std::array<float, 4> edges{};
  bool good = parts.size() == edges.size();
  for (size_t i = 0; good && i < edges.size(); ++i) good = absl::SimpleAtof(parts[i], &edges[i]);
  if (!good) return Invalid("box", "box must be left,top,right,bottom, such as 10,20,110,220");
  return RegionF{edges[0], edges[1], edges[2], edges[3]};
}

// A request as its fields are read, one after the other.
class Fields {
 public:
  explicit Fields(const PipelineOptions& options) : options_(options) {}

  absl::Status Add(const Part& part) {
    if (part.name == "image") return AddImage(part);
    if (part.name == "head") {
      heads_.push_back(part.value);
      return absl::OkStatus();
    }
    if (part.name == "box") {
      PIXPOOL_ASSIGN_OR_RETURN(const RegionF box, BoxFromText(part.value));
      boxes_.push_back(box);
      return absl::OkStatus();
    }
    if (!seen_.insert(part.name).second) {
      return Invalid(part.name, Concat(part.name, " is given twice"));
    }
    return AddOther(part);
  }

  void AddBody(std::string_view picture) { request_.images.push_back({.encoded = picture}); }

  absl::StatusOr<Work> Take() && {
    if (request_.images.empty()) {
      return Invalid("image", "there is no picture; add one, with curl -F image=@cat.jpg");
    }
    PIXPOOL_ASSIGN_OR_RETURN(request_.heads,
                             HeadsFromTexts(heads_, options_.max_heads_per_request));
    PIXPOOL_ASSIGN_OR_RETURN(const RequestOptions asked, fields_.Native());
    request_.input = asked.input;
    request_.regions = asked.regions;
    for (ImageInput& image : request_.images) {
      for (const RegionF& box : boxes_) {
        image.regions.push_back({.id = {}, .box = box, .relative = asked.relative});
      }
    }
    return Work{.request = std::move(request_),
                .priority = priority_,
                .request_id = std::move(request_id_),
                .answer = {}};
  }

  std::vector<std::string> TakeNames() { return std::move(names_); }

 private:
  absl::Status AddImage(const Part& part) {
    const size_t index = request_.images.size();
    if (std::cmp_greater_equal(index, options_.max_images_per_request.value())) {
      return OverLimit("image", "too many images in one request", static_cast<int64_t>(index) + 1,
                       options_.max_images_per_request, "split the request");
    }
    if (LooksLikeName(part)) {
      return Invalid("image", Concat("image is the text \"", part.value,
                                     "\" and no file; curl sends one with -F image=@FILE"));
    }
    names_.push_back(part.file_name.value_or(""));
    AddBody(part.value);
    return absl::OkStatus();
  }

  absl::Status AddOther(const Part& part) {
    const std::string value(part.value);
    if (part.name == "model") {
      request_.model = value;
    } else if (part.name == "model_version") {
      request_.version = value;
    } else if (part.name == "request_id") {
      PIXPOOL_RETURN_IF_ERROR(CheckRequestId(part.name, value));
      request_id_ = value;
    } else if (part.name == "priority") {
      priority_ = PriorityFromText(value);
      if (!priority_) return Invalid(part.name, "priority must be interactive or bulk");
    } else if (const std::string complaint = fields_.Set(part.name, part.value);
               !complaint.empty()) {
      return Invalid(part.name, Concat(part.name, ": ", complaint));
    }
    return absl::OkStatus();
  }

  const PipelineOptions& options_;
  ExtractRequest request_;
  std::vector<std::string> names_;  // of the files
  std::vector<std::string_view> heads_;
  std::vector<RegionF> boxes_;
  OptionFields fields_{"there are image, head, box, model, model_version, priority, request_id, "};
  std::optional<Priority> priority_;
  std::string request_id_;
  std::set<std::string> seen_;
};

size_t MostFields(const PipelineOptions& options) {
  return static_cast<size_t>(options.max_images_per_request) +
         static_cast<size_t>(options.max_heads_per_request) +
         static_cast<size_t>(options.max_regions_per_image) + kMostOtherFields;
}

}  // namespace

std::optional<Format> FormatOf(const std::vector<std::string_view>& accept) {
  struct Choice {
    std::string_view type;
    Format format;
  };
  constexpr std::array<Choice, 5> kChoices = {{{"application/json", Format::kJson},
                                               {"application/*", Format::kJson},
                                               {"*/*", Format::kJson},
                                               {"application/x-npy", Format::kNpy},
                                               {"application/octet-stream", Format::kFloats}}};
  if (accept.empty()) return Format::kJson;
  std::optional<Format> best;
  double best_weight = 0;
  for (const std::string_view value : accept) {
    for (const absl::string_view one : absl::StrSplit(ToAbsl(value), ',')) {
      const auto range = ParseMediaType(ToStd(one));
      if (!range) continue;
      double weight = 1;
      if (const auto q = range->Param("q"); q && !absl::SimpleAtod(ToAbsl(*q), &weight)) continue;
      for (const Choice& choice : kChoices) {
        if (range->type != choice.type || !(weight > best_weight)) continue;
        best = choice.format;
        best_weight = weight;
      }
    }
  }
  return best;
}

std::optional<Answer> CheckFeaturesHead(const RequestHead& head) {
  const auto type = ContentType(head);
  if (!type) return Problem(415, Concat("the request has no valid Content-Type", kBodyWanted));
  if (!IsPicture(*type) && type->type != kForm) {
    return Problem(
        415, Concat("bodies of the type ", type->type.substr(0, 64), " are not read", kBodyWanted));
  }
  for (const std::string_view coding : head.Values("content-encoding")) {
    if (coding == "identity") continue;
    return Problem(415, "bodies are not decompressed; send it without Content-Encoding");
  }
  if (FormatOf(head.Values("accept"))) return std::nullopt;
  return Problem(406,
                 "answers are application/json, application/x-npy or application/octet-stream "
                 "(raw values); accept one of them");
}

absl::StatusOr<std::vector<HeadRequest>> HeadsFromTexts(const std::vector<std::string_view>& texts,
                                                        FlagNumber most) {
  if (std::cmp_greater(texts.size(), most.value)) {
    return OverLimit("heads", "too many heads in one request", static_cast<int64_t>(texts.size()),
                     most, "split the request");
  }
  std::vector<HeadRequest> heads;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string path = Concat("heads[", i, "]");
    const auto head = HeadFromText(texts[i]);
    if (!head.ok()) {
      return Invalid(path, ToStd(head.status().message()), ErrorReason::kHeadInvalid);
    }
    auto native = HeadFromProto(*head);
    if (!native.ok()) return PrependField(native.status(), path);
    heads.push_back(*std::move(native));
  }
  return heads;
}

absl::StatusOr<Work> FeaturesWork(const RequestHead& head, std::shared_ptr<const std::string> body,
                                  const PipelineOptions& options) {
  Fields fields(options);
  std::vector<std::string> decoded;
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<Part> asked,
                           ParseQuery(head.query, MostFields(options), &decoded));
  for (const Part& part : asked) {
    if (part.name == "image")
      return Invalid("image", "pictures come in the body, not in the query");
    PIXPOOL_RETURN_IF_ERROR(fields.Add(part));
  }
  const auto type = ContentType(head);
  std::vector<Part> parts;
  if (type && type->type == kForm) {
    PIXPOOL_ASSIGN_OR_RETURN(
        parts, ParseMultipart(*body, type->Param("boundary").value_or(""), MostFields(options)));
    size_t beside = body->size();
    for (const Part& part : parts) {
      PIXPOOL_RETURN_IF_ERROR(fields.Add(part));
      if (part.name == "image") beside -= part.value.size();
    }
    // The body is kept with its pictures, which are what admission counts.
    if (beside > kMostBytesBeside) {
      return MakeError({.reason = ErrorReason::kLimitExceeded, .field = "", .metadata = {}},
                       Concat("the form has ", beside, " bytes beside its pictures; the limit is ",
                              kMostBytesBeside));
    }
  } else {
    fields.AddBody(*body);
  }
  std::vector<std::string> names = fields.TakeNames();
  PIXPOOL_ASSIGN_OR_RETURN(Work work, std::move(fields).Take());
  work.request.owner = std::move(body);
  const Format format = FormatOf(head.Values("accept")).value_or(Format::kJson);
  work.answer = [format, names = std::move(names)](ExtractResult* result) {
    return FeaturesAnswer(format, names, result);
  };
  return work;
}

}  // namespace pixpool::rest
