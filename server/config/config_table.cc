#include "server/config/config_table.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/base/host_port.h"
#include "server/base/json_text.h"
#include "server/base/listen_address.h"
#include "server/base/log_sample.h"
#include "server/base/option_members.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

using enum OptionKind;

// Where an option's value is.
using OptionValue = std::variant<bool*, int*, int64_t*, std::chrono::milliseconds*, std::string*>;

// The place of a row's value in `config`.
OptionValue ValueOf(const OptionRow& row, Config* config) {
  OptionValue value;
  size_t position = 0;
  ForEachOption(*config, [&](auto& option) {
    if (position++ == row.position) value = option.mutable_value();
  });
  return value;
}

std::vector<OptionRow> MakeTable() {
  std::vector<OptionRow> rows;
  Config config;
  ForEachOption(config, [&](const auto& option) { rows.push_back({option.spec(), rows.size()}); });
  std::sort(rows.begin(), rows.end(), [](const OptionRow& a, const OptionRow& b) {
    return std::pair(a.group.place, a.place) < std::pair(b.group.place, b.place);
  });
  return rows;
}

struct Suffix {
  std::string_view text;
  int64_t factor;
};
constexpr std::array<Suffix, 3> kSuffixes = {
    {{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}};

// Of names of gRPC metadata.
constexpr std::string_view kMetadataLetters = "a to z, 0 to 9, \"-\", \"_\" and \".\"";
// Headers that gRPC does not hand on, or that say nothing of a caller.
constexpr std::array<std::string_view, 4> kOfGrpc = {"connection", "content-type", "host", "te"};

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

std::string Joined(std::span<const std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) text += Concat(text.empty() ? "" : ", ", word);
  return text;
}

// Values as they stand in a configuration file.
std::string Format(bool value) { return value ? "true" : "false"; }
std::string Format(int value) { return absl::StrCat(value); }
std::string Format(int64_t value) { return absl::StrCat(value); }
std::string Format(std::chrono::milliseconds value) { return absl::StrCat(value.count()); }
std::string Format(const std::string& value) {
  std::string quoted;
  AppendJsonString(&quoted, value);
  return quoted;
}

bool IsDevice(std::string_view text) {
  if (text == "auto" || text == "cpu" || text == "cuda") return true;
  constexpr std::string_view kPrefix = "cuda:";
  if (!text.starts_with(kPrefix)) return false;
  text.remove_prefix(kPrefix.size());
  return IsDigits(text) && text.size() <= 3;
}

// What is wrong with the name of a metadata entry that is to hold text.
std::optional<std::string> CheckMetadataName(std::string_view name) {
  const std::string lower = absl::AsciiStrToLower(ToAbsl(name));
  if (lower != name) {
    return Concat("is not in lower case, as names of gRPC metadata are; write ", lower);
  }
  const bool legal = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '_' || c == '.';
  });
  if (!legal) return Concat("is no name of gRPC metadata, which has ", kMetadataLetters, " alone");
  if (name.ends_with("-bin")) {
    return "names bytes, as all names that end in -bin do; the entry must be a text";
  }
  if (name.starts_with("grpc-") || std::count(kOfGrpc.begin(), kOfGrpc.end(), name) > 0)
    return "is a name that gRPC and HTTP/2 keep for themselves; choose another";
  return std::nullopt;
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
  const OptionValue member = ValueOf(row, config);
  if (int* const* i = std::get_if<int*>(&member)) {
    **i = static_cast<int>(*value);
  } else if (auto* const* ms = std::get_if<std::chrono::milliseconds*>(&member)) {
    **ms = std::chrono::milliseconds(*value);
  } else {
    *std::get<int64_t*>(member) = *value;
  }
  return std::nullopt;
}

bool IsAmong(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::optional<std::string> CheckChoices(const OptionRow& row, std::string_view text) {
  std::vector<std::string_view> chosen;
  for (const absl::string_view piece : absl::StrSplit(ToAbsl(text), ',')) {
    const std::string_view word = ToStd(piece);
    if (!IsAmong(row.choices, word)) {
      return Concat("has \"", word, "\", which is not one of ", RangeText(row));
    }
    if (IsAmong(chosen, word)) return Concat("has ", word, " twice");
    chosen.push_back(word);
  }
  return std::nullopt;
}

std::optional<std::string> CheckListen(const OptionRow& row, std::string_view text) {
  std::set<std::string_view> seen;
  for (const std::string_view piece : SplitAddresses(text)) {
    if (!ParseListenAddress(piece))
      return Concat("has \"", piece, "\", which is not ", RangeText(row));
    if (!seen.insert(piece).second) return Concat("has ", piece, " twice");
  }
  return std::nullopt;
}

std::optional<std::string> CheckText(const OptionRow& row, std::string_view text) {
  if (text.empty() && row.may_be_empty) return std::nullopt;
  if (std::any_of(text.begin(), text.end(), absl::ascii_iscntrl)) return "has a control character";
  if (text.empty()) return "must not be empty";
  if (row.kind == kChoices) return CheckChoices(row, text);
  if (row.kind == kChoice && !IsAmong(row.choices, text))
    return Concat("is not one of ", RangeText(row));
  if (row.kind == kDevice && !IsDevice(text)) return Concat("is not one of ", RangeText(row));
  if (row.kind == kMetadata) return CheckMetadataName(text);
  if (row.kind == kSample && !LogSample::Every(text)) return Concat("is not ", RangeText(row));
  if (row.kind == kAddress && !ParseHostPort(text)) return Concat("is not ", RangeText(row));
  if (row.kind == kListen) return CheckListen(row, text);
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

std::span<const OptionRow> OptionTable() {
  static const std::vector<OptionRow>& table = *new std::vector<OptionRow>(MakeTable());
  return table;
}

const OptionRow* FindOption(std::string_view name) {
  for (const OptionRow& row : OptionTable()) {
    if (row.name() == name) return &row;
  }
  return nullptr;
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
    case kListen:
      return Concat(
          "host:port with a port of 0 to 65535 (IPv6 hosts in brackets), nor unix:/PATH "
          "with up to ",
          kMostPathBytes, " bytes of path");
    case kChoice:
    case kChoices:
      return Joined(row.choices);
    case kDevice:
      return "auto, cpu, cuda, cuda:N";
    case kMetadata:
      return Concat("a name in ", kMetadataLetters, ", which does not end in -bin");
    case kSample:
      return "all, failed or 1/N with N of 1 to 1000000";
  }
  return "";
}

std::optional<std::string> SetOption(const OptionRow& row, std::string_view text, Config* config) {
  if (row.kind == kNumber || row.kind == kBytes) return SetNumber(row, text, config);
  if (row.kind == kSwitch) {
    if (text != "true" && text != "false") return "is neither true nor false";
    *std::get<bool*>(ValueOf(row, config)) = text == "true";
    return std::nullopt;
  }
  std::optional<std::string> problem = CheckText(row, text);
  if (!problem) *std::get<std::string*>(ValueOf(row, config)) = std::string(text);
  return problem;
}

std::string FormatOption(const OptionRow& row, const Config& config) {
  std::string text;
  size_t position = 0;
  ForEachOption(config, [&](const auto& option) {
    if (position++ == row.position) text = Format(option.value());
  });
  return text;
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

}  // namespace pixpool
