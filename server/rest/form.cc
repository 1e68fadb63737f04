#include "server/rest/form.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool::rest {
namespace {

constexpr std::string_view kBreak = "\r\n";
// Of the lines of a part before its value.
constexpr size_t kMostPartHeadBytes = 4096;
constexpr size_t kMostBoundaryBytes = 70;  // RFC 2046

absl::Status Malformed(std::string_view what) {
  return MakeError(ErrorReason::kRequestInvalid, what);
}

std::string_view StripLeft(std::string_view text) {
  return ToStd(absl::StripLeadingAsciiWhitespace(ToAbsl(text)));
}

std::string_view Strip(std::string_view text) {
  return ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
}

// Takes a quoted string, or what ends at a semicolon, from the beginning of `text`.
std::optional<std::string> TakeParamValue(std::string_view* text) {
  std::string value;
  if (!text->starts_with('"')) {
    const size_t end = text->find(';');
    value = std::string(Strip(text->substr(0, end)));
    *text = end == text->npos ? "" : text->substr(end);
    return value;
  }
  for (size_t i = 1; i < text->size(); ++i) {
    char c = (*text)[i];
    if (c == '"') {
      *text = StripLeft(text->substr(i + 1));
      return value;
    }
    // Browsers do not escape backslashes, as in C:\a.jpg; only a quote needs one.
    if (c == '\\' && i + 1 < text->size() && ((*text)[i + 1] == '"' || (*text)[i + 1] == '\\')) {
      c = (*text)[++i];
    }
    value += c;
  }
  return std::nullopt;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

// The lines before a part's value.
absl::Status ReadPartHead(std::string_view head, size_t index, Part* part) {
  bool named = false;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(head), "\r\n", absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(field.first));
    const std::string_view value = Strip(ToStd(field.second));
    if (name == "content-transfer-encoding") {
      const std::string coding = absl::AsciiStrToLower(ToAbsl(value));
      if (coding == "binary" || coding == "8bit" || coding == "7bit") continue;
      return Malformed(Concat("part ", index, " of the form is encoded as ", coding.substr(0, 32),
                              "; send its bytes as they are"));
    }
    if (name != "content-disposition") continue;
    const auto disposition = ParseMediaType(value);
    if (!disposition || disposition->type != "form-data" || named) break;
    const auto part_name = disposition->Param("name");
    if (!part_name) break;
    part->name = std::string(*part_name);
    if (const auto file = disposition->Param("filename")) part->file_name = std::string(*file);
    named = true;
  }
  if (named) return absl::OkStatus();
  return Malformed(Concat("part ", index,
                          " of the form has no field Content-Disposition: "
                          "form-data; name=\"...\""));
}

}  // namespace

std::optional<std::string_view> MediaType::Param(std::string_view name) const {
  for (const auto& [key, value] : params) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::optional<MediaType> ParseMediaType(std::string_view text) {
  MediaType out;
  const size_t end = text.find(';');
  out.type = absl::AsciiStrToLower(ToAbsl(Strip(text.substr(0, end))));
  if (out.type.empty()) return std::nullopt;
  text = end == text.npos ? "" : text.substr(end);
  while (!(text = StripLeft(text)).empty()) {
    if (text[0] != ';') return std::nullopt;
    text = StripLeft(text.substr(1));
    if (text.empty()) break;
    const size_t equals = text.find('=');
    if (equals == text.npos) return std::nullopt;
    std::string name = absl::AsciiStrToLower(ToAbsl(Strip(text.substr(0, equals))));
    text = StripLeft(text.substr(equals + 1));
    auto value = TakeParamValue(&text);
    if (!value || name.empty()) return std::nullopt;
    out.params.emplace_back(std::move(name), *std::move(value));
  }
  return out;
}

absl::StatusOr<std::vector<Part>> ParseQuery(std::string_view query, size_t most,
                                             std::vector<std::string>* storage) {
  std::vector<Part> parts;
  storage->reserve(most);  // views into its texts must stay good
  for (const absl::string_view pair : absl::StrSplit(ToAbsl(query), '&', absl::SkipEmpty())) {
    if (parts.size() == most) return Malformed(Concat("the query has more than ", most, " fields"));
    const std::pair<absl::string_view, absl::string_view> sides =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    auto name = PercentDecoded(ToStd(sides.first));
    auto value = PercentDecoded(ToStd(sides.second));
    if (!name || !value) return Malformed("the query has a % that two hex digits do not follow");
    storage->push_back(*std::move(value));
    parts.push_back(
        {.name = *std::move(name), .file_name = std::nullopt, .value = storage->back()});
  }
  return parts;
}

absl::StatusOr<std::vector<Part>> ParseMultipart(std::string_view body, std::string_view boundary,
                                                 size_t most) {
  if (boundary.empty() || boundary.size() > kMostBoundaryBytes) {
    return Malformed(Concat("the boundary of the form has ", boundary.size(),
                            " bytes; it must have 1 to ", kMostBoundaryBytes));
  }
  const std::string delimiter = Concat(kBreak, "--", boundary);
  const std::string_view first = std::string_view(delimiter).substr(kBreak.size());
  size_t at = first.size();
  if (!body.starts_with(first)) {
    at = body.find(delimiter);  // what stands before it is for people
    if (at == body.npos) return Malformed("the body has no part: its boundary does not occur");
    at += delimiter.size();
  }
  std::vector<Part> parts;
  while (true) {
    std::string_view rest = body.substr(at);
    if (rest.starts_with("--")) return parts;
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (!rest.starts_with(kBreak)) return Malformed("a boundary of the form does not end its line");
    if (parts.size() == most) return Malformed(Concat("the form has more than ", most, " parts"));
    // From the line break on, so that a part without a head has its empty line too.
    const size_t head_end = rest.substr(0, kMostPartHeadBytes).find("\r\n\r\n");
    if (head_end == rest.npos) {
      return Malformed(Concat("part ", parts.size(),
                              " of the form has no end of its header within ", kMostPartHeadBytes,
                              " bytes"));
    }
    Part part;
    PIXPOOL_RETURN_IF_ERROR(ReadPartHead(rest.substr(0, head_end), parts.size(), &part));
    rest.remove_prefix(head_end + 2 * kBreak.size());
    // The break before a delimiter belongs to it.
    const size_t value_end = rest.find(delimiter);
    if (value_end == rest.npos) {
      return Malformed(Concat("part ", parts.size(), " of the form has no end"));
    }
    part.value = rest.substr(0, value_end);
    parts.push_back(std::move(part));
    at = static_cast<size_t>(rest.data() - body.data()) + value_end + delimiter.size();
  }
}

}  // namespace pixpool::rest
