#include "server/rest/head.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "server/base/text.h"

namespace pixpool::rest {
namespace {

Fault Bad(std::string message, int status = 400) {
  return {.status = status, .message = std::move(message)};
}

bool IsTokenByte(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kOthers.find(c) != kOthers.npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenByte);
}

// No control characters; bytes over 127 are opaque, as RFC 9110 has it.
bool IsFieldValue(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t';
  });
}

bool IsVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

std::string_view Stripped(std::string_view text) {
  return ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
}

// "GET /v1/models?a=b HTTP/1.1".
std::optional<Fault> ReadRequestLine(std::string_view line, RequestHead* head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || first == last) return Bad("the request line is malformed");
  const std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(method) || target.empty() || !IsVisible(target)) {
    return Bad("the request line is malformed");
  }
  if (version == "HTTP/2.0") {
    return Bad("this port speaks HTTP/1.1; gRPC has a port of its own", 505);
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Bad("not HTTP/1.1", 505);
  head->http11 = version == "HTTP/1.1";
  head->method = std::string(method);
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const size_t path = target.find('/', scheme.size());
    target = path == target.npos ? "/" : target.substr(path);
  }
  if (target[0] != '/' && !(target == "*" && method == "OPTIONS")) {
    return Bad("the target of the request is no path");
  }
  target = target.substr(0, target.find('#'));
  const size_t query = target.find('?');
  head->path = std::string(target.substr(0, query));
  if (query != target.npos) head->query = std::string(target.substr(query + 1));
  return std::nullopt;
}

std::optional<Fault> ReadField(std::string_view line, RequestHead* head) {
  if (line[0] == ' ' || line[0] == '\t') return Bad("a header field is folded over two lines");
  const size_t colon = line.find(':');
  if (colon == line.npos) return Bad("a header line has no colon");
  const std::string_view name = line.substr(0, colon);
  if (!IsToken(name)) return Bad("the name of a header field is malformed");
  const std::string_view value = Stripped(line.substr(colon + 1));
  if (!IsFieldValue(value)) return Bad("a header field has control characters");
  if (head->fields.size() == kMaxHeadFields) {
    return Bad(Concat("more than ", kMaxHeadFields, " header fields"), 431);
  }
  head->fields.emplace_back(absl::AsciiStrToLower(ToAbsl(name)), std::string(value));
  return std::nullopt;
}

std::optional<Fault> ReadLength(RequestHead* head) {
  const auto lengths = head->Values("content-length");
  const auto codings = head->Values("transfer-encoding");
  if (lengths.size() > 1) return Bad("Content-Length is given twice");
  if (!lengths.empty()) {
    const std::string_view text = lengths[0];
    uint64_t length = 0;
    const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
      return absl::ascii_isdigit(static_cast<unsigned char>(c));
    });
    if (!digits || !absl::SimpleAtoi(ToAbsl(text), &length)) {
      return Bad("Content-Length is no number of bytes");
    }
    head->content_length = length;
  }
  if (codings.empty()) return std::nullopt;
  if (!lengths.empty()) return Bad("Content-Length and Transfer-Encoding exclude each other");
  if (!head->http11) return Bad("Transfer-Encoding needs HTTP/1.1");
  if (codings.size() > 1) return Bad("Transfer-Encoding is given twice");
  if (absl::AsciiStrToLower(ToAbsl(codings[0])) != "chunked") {
    return Bad("the only Transfer-Encoding that is served is chunked", 501);
  }
  head->chunked = true;
  return std::nullopt;
}

std::optional<Fault> ReadConnection(RequestHead* head) {
  const size_t hosts = head->Values("host").size();
  if (hosts > 1 || (hosts == 0 && head->http11)) return Bad("the request needs one field Host");
  head->keep_alive = head->http11;
  for (const std::string_view value : head->Values("connection")) {
    for (const std::string& word : ListOf(value)) {
      if (word == "close") head->keep_alive = false;
    }
  }
  const auto expected = head->Values("expect");
  if (expected.empty() || !head->http11) return std::nullopt;
  if (expected.size() > 1 || absl::AsciiStrToLower(ToAbsl(expected[0])) != "100-continue") {
    return Bad("the only Expect that is served is 100-continue", 417);
  }
  head->expects_continue = true;
  return std::nullopt;
}

}  // namespace

std::vector<std::string_view> RequestHead::Values(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : fields) {
    if (key == name) values.emplace_back(value);
  }
  return values;
}

std::optional<std::string_view> RequestHead::Only(std::string_view name) const {
  const auto values = Values(name);
  if (values.size() != 1 || values[0].empty()) return std::nullopt;
  return values[0];
}

std::vector<std::string> ListOf(std::string_view value) {
  std::vector<std::string> words;
  for (const absl::string_view part : absl::StrSplit(ToAbsl(value), ',')) {
    std::string word = absl::AsciiStrToLower(absl::StripAsciiWhitespace(part));
    if (!word.empty()) words.push_back(std::move(word));
  }
  return words;
}

std::optional<Fault> ReadHead(std::string_view bytes, RequestHead* head) {
  constexpr std::string_view kBreak = "\r\n";
  bool first = true;
  while (true) {
    const size_t end = bytes.find(kBreak);
    if (end == bytes.npos) return Bad("the header does not end");
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end + kBreak.size());
    if (line.find_first_of(kBreak) != line.npos) return Bad("a line break is not CR LF");
    if (line.empty() && !first) break;
    auto fault = first ? ReadRequestLine(line, head) : ReadField(line, head);
    if (fault) return fault;
    first = false;
  }
  if (!bytes.empty()) return Bad("bytes follow the header");
  if (auto fault = ReadLength(head)) return fault;
  return ReadConnection(head);
}

}  // namespace pixpool::rest
