#include "server/config/config_table.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/base/json_text.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

using enum OptionKind;

constexpr int64_t kDayMs = 24 * 60 * 60 * 1000;
constexpr int64_t kHourMs = 60 * 60 * 1000;
constexpr int64_t kMaxMessage = std::numeric_limits<int32_t>::max();  // gRPC counts in int
constexpr int64_t kTera = int64_t{1} << 40;

constexpr std::string_view kAddresses = "Addresses";
constexpr std::string_view kModels = "Models and threads";
constexpr std::string_view kBatching = "Batching";
constexpr std::string_view kAdmission = "Admission";
constexpr std::string_view kLimits = "Limits on a request";
constexpr std::string_view kLife = "Life cycle and log";

// clang-format off
const OptionRow kTable[] = {
    {kAddresses, "listen", "ADDRESS", "Address of the gRPC server.", kAddress, &Config::listen},
    {kAddresses, "http-listen", "ADDRESS",
     "Address of /metrics, /livez and /readyz; \"\" turns them off.", kAddress,
     &Config::http_listen, 0, 0, "", true},
    {kAddresses, "reflection", "", "Serve gRPC reflection.", kSwitch, &Config::reflection},

    {kModels, "models-dir", "DIR", "Folder of the model bundles.", kText, &Config::models_dir},
    {kModels, "default-model", "NAME",
     "Model of requests that name none; \"\" takes the first by name.", kText,
     &Config::default_model, 0, 0, "", true},
    {kModels, "device", "DEVICE", "Where backbones run; auto takes CUDA if there is one.", kDevice,
     &Config::device},
    {kModels, "engine", "ENGINE", "What runs the backbones; auto takes the fastest of a bundle, but no aotinductor.", kChoice, &Config::engine, 0, 0,
     "auto|openvino|aotinductor|torchscript"},
    {kModels, "precision", "PRECISION",
     "Arithmetic of the backbones; auto is float32 where a bundle has it.", kChoice,
     &Config::precision, 0, 0, "auto|float32|int8"},
    {kModels, "instances", "COUNT", "Batches that run at a time; 0 decides by engine and CPU quota.",
     kNumber, &Config::instances, 0, 256},
    {kModels, "threads-per-instance", "COUNT", "CPU threads of a backbone pass; 0 likewise.",
     kNumber, &Config::threads_per_instance, 0, 1024},
    {kModels, "decode-threads", "COUNT", "Threads that decode images; 0 takes the CPU quota.",
     kNumber, &Config::decode_threads, 0, 1024},
    {kModels, "reply-threads", "COUNT", "Threads that finish replies.", kNumber,
     &Config::reply_threads, 1, 64},

    {kBatching, "max-batch-size", "COUNT", "Most images of a backbone pass.", kNumber,
     &Config::max_batch_size, 1, 1024},
    {kBatching, "max-batch-delay-ms", "MS",
     "Longest time that an image is passed over in favour of a fuller batch of another size.",
     kNumber, &Config::max_batch_delay_ms, 0, 10'000},

    {kAdmission, "max-in-flight-requests", "COUNT", "Most requests in flight; more are refused.",
     kNumber, &Config::max_in_flight_requests, 1, 1'000'000},
    {kAdmission, "max-in-flight-bytes", "BYTES", "Most bytes of images and answers in flight.", kBytes,
     &Config::max_in_flight_bytes, 1, kTera},
    {kAdmission, "max-in-flight-pixels", "PIXELS", "Most decoded pixels in flight.", kNumber,
     &Config::max_in_flight_pixels, 1, kTera},
    {kAdmission, "max-stream-in-flight", "COUNT", "Images of one stream at a time.", kNumber,
     &Config::max_stream_in_flight, 1, 10'000},
    {kAdmission, "retry-after-ms", "MS", "When refused clients are told to try again.", kNumber,
     &Config::retry_after_ms, 0, 60'000},

    {kLimits, "max-images-per-request", "COUNT", "Most images of a request.", kNumber,
     &Config::max_images_per_request, 1, 10'000},
    {kLimits, "max-heads-per-request", "COUNT", "Most heads of a request.", kNumber,
     &Config::max_heads_per_request, 1, 1'000},
    {kLimits, "max-head-operations", "VALUES",
     "Most map values that the windows of a request's heads read.", kNumber,
     &Config::max_head_operations, 1, kTera},
    {kLimits, "max-image-bytes", "BYTES", "Largest image file.", kBytes, &Config::max_image_bytes,
     1, kMaxMessage},
    {kLimits, "max-image-pixels", "PIXELS", "Most pixels of an image.", kNumber,
     &Config::max_image_pixels, 1, 1'000'000'000},
    {kLimits, "max-image-side", "PIXELS", "Longest side of an image.", kNumber,
     &Config::max_image_side, 1, 65'535},
    {kLimits, "max-input-side", "PIXELS", "Longest side of a network input.", kNumber,
     &Config::max_input_side, 16, 16'384},
    {kLimits, "max-response-bytes", "BYTES", "Largest reply; checked before the work is done.",
     kBytes, &Config::max_response_bytes, 1024, kMaxMessage},
    {kLimits, "max-message-bytes", "BYTES", "Largest gRPC message that is received.", kBytes,
     &Config::max_message_bytes, 1024, kMaxMessage},
    {kLimits, "default-deadline-ms", "MS", "Deadline of calls that state none.", kNumber,
     &Config::default_deadline_ms, 1, kDayMs},
    {kLimits, "max-deadline-ms", "MS", "Longer deadlines are cut to this.", kNumber,
     &Config::max_deadline_ms, 1, kDayMs},

    {kLife, "drain-delay-ms", "MS",
     "After SIGTERM: how long the server says that it is not ready but still accepts.", kNumber,
     &Config::drain_delay_ms, 0, kHourMs},
    {kLife, "drain-timeout-ms", "MS", "Then: how long calls in flight may take to finish.", kNumber,
     &Config::drain_timeout_ms, 0, kHourMs},
    {kLife, "log-level", "LEVEL", "Least important lines that are logged.", kChoice,
     &Config::log_level, 0, 0, "debug|info|warning|error|off"},
};
// clang-format on

struct Suffix {
  std::string_view text;
  int64_t factor;
};
constexpr std::array<Suffix, 3> kSuffixes = {
    {{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}};

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// Decimal digits with an optional minus and nothing else: absl::SimpleAtoi alone would take blanks
// and a plus. A number beyond int64 gives its end, which is out of every range.
std::optional<int64_t> ParseWhole(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (!IsDigits(text.substr(negative ? 1 : 0))) return std::nullopt;
  int64_t value = 0;
  if (absl::SimpleAtoi(ToAbsl(text), &value)) return value;
  return negative ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

std::optional<int64_t> ParseBytes(std::string_view text) {
  for (const Suffix& suffix : kSuffixes) {
    if (!text.ends_with(suffix.text)) continue;
    text.remove_suffix(suffix.text.size());
    while (text.ends_with(' ')) text.remove_suffix(1);
    const std::optional<int64_t> value = ParseWhole(text);
    if (!value) return std::nullopt;
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    if (*value > kMax / suffix.factor || *value < 0) return *value < 0 ? -1 : kMax;
    return *value * suffix.factor;
  }
  return ParseWhole(text);
}

std::vector<std::string> Choices(const OptionRow& row) {
  return absl::StrSplit(ToAbsl(row.choices), '|');
}

bool IsDevice(std::string_view text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return true;
  constexpr std::string_view kPrefix = "cuda:";
  if (!text.starts_with(kPrefix)) return false;
  text.remove_prefix(kPrefix.size());
  return IsDigits(text) && text.size() <= 3;
}

std::optional<std::string> SetNumber(const OptionRow& row, std::string_view text, Config* config) {
  const std::optional<int64_t> value = row.kind == kBytes ? ParseBytes(text) : ParseWhole(text);
  if (!value) {
    return Concat("is not a whole number", row.kind == kBytes ? " (KiB, MiB, GiB may follow)" : "",
                  "; allowed: ", RangeText(row));
  }
  if (*value < row.min || *value > row.max) {
    return Concat("is out of range; allowed: ", RangeText(row));
  }
  if (const auto* member = std::get_if<int Config::*>(&row.member)) {
    config->*(*member) = static_cast<int>(*value);
  } else {
    config->*std::get<int64_t Config::*>(row.member) = *value;
  }
  return std::nullopt;
}

std::optional<std::string> CheckText(const OptionRow& row, std::string_view text) {
  if (text.empty() && row.may_be_empty) return std::nullopt;
  if (std::any_of(text.begin(), text.end(), absl::ascii_iscntrl)) return "has a control character";
  const std::vector<std::string> choices = Choices(row);
  const bool known = std::find(choices.begin(), choices.end(), text) != choices.end();
  if (text.empty()) return "must not be empty";
  if (row.kind == kChoice && !known) return Concat("is not one of ", RangeText(row));
  if (row.kind == kDevice && !IsDevice(text)) return Concat("is not one of ", RangeText(row));
  if (row.kind == kAddress && !ParseAddress(text)) return Concat("is not ", RangeText(row));
  return std::nullopt;
}

// Least number of letters to insert, remove or replace to get from one word to the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::span<const OptionRow> OptionTable() { return kTable; }

const OptionRow* FindOption(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTable), std::end(kTable),
                                   [&](const OptionRow& row) { return row.name == name; });
  return found == std::end(kTable) ? nullptr : found;
}

std::string EnvironmentName(std::string_view option) {
  return "PIXPOOL_" + absl::AsciiStrToUpper(absl::StrReplaceAll(ToAbsl(option), {{"-", "_"}}));
}

std::string RangeText(const OptionRow& row) {
  switch (row.kind) {
    case kSwitch:
      return "true or false";
    case kNumber:
    case kBytes:
      return absl::StrCat(row.min, " to ", row.max);
    case kText:
      return "any text";
    case kAddress:
      return "host:port with a port of 0 to 65535 (IPv6 hosts in brackets)";
    case kChoice:
      return absl::StrReplaceAll(ToAbsl(row.choices), {{"|", ", "}});
    case kDevice:
      return "auto, cpu, cuda, cuda:N";
  }
  return "";
}

std::optional<std::string> SetOption(const OptionRow& row, std::string_view text, Config* config) {
  if (row.kind == kNumber || row.kind == kBytes) return SetNumber(row, text, config);
  if (row.kind == kSwitch) {
    if (text != "true" && text != "false") return "is neither true nor false";
    config->*std::get<bool Config::*>(row.member) = text == "true";
    return std::nullopt;
  }
  std::optional<std::string> problem = CheckText(row, text);
  if (!problem) config->*std::get<std::string Config::*>(row.member) = std::string(text);
  return problem;
}

std::string FormatOption(const OptionRow& row, const Config& config) {
  if (const auto* b = std::get_if<bool Config::*>(&row.member)) {
    return config.*(*b) ? "true" : "false";
  }
  if (const auto* i = std::get_if<int Config::*>(&row.member)) return absl::StrCat(config.*(*i));
  if (const auto* l = std::get_if<int64_t Config::*>(&row.member)) {
    return absl::StrCat(config.*(*l));
  }
  std::string quoted;
  AppendJsonString(&quoted, config.*std::get<std::string Config::*>(row.member));
  return quoted;
}

std::string DidYouMean(std::string_view wrong, const std::vector<std::string>& names) {
  constexpr size_t kLongest = 64;  // longer words are near to nothing
  const std::string* best = nullptr;
  size_t best_distance = std::max<size_t>(2, wrong.size() / 4) + 1;
  for (const std::string& name : names) {
    if (wrong.size() > kLongest) break;
    const size_t distance = EditDistance(wrong, name);
    if (distance < best_distance) {
      best = &name;
      best_distance = distance;
    }
  }
  return best == nullptr ? "" : absl::StrCat(", did you mean ", *best, "?");
}

std::optional<HostPort> ParseAddress(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos || colon == 0) return std::nullopt;
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.find_first_of("[] \t\n/") != host.npos) return std::nullopt;
  if (!bracketed && host.find(':') != host.npos) return std::nullopt;
  HostPort result{std::string(host), 0};
  if (!IsDigits(port) || port.size() > 5 || !absl::SimpleAtoi(ToAbsl(port), &result.port) ||
      result.port > 65'535) {
    return std::nullopt;
  }
  return result;
}

}  // namespace pixpool
