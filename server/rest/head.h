// The head of an HTTP/1.1 request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pixpool::rest {

inline constexpr size_t kMaxHeadBytes = 16 << 10;
inline constexpr size_t kMaxHeadFields = 100;

// Why a request is refused by its form alone.
struct Fault {
  int status = 400;
  std::string message;
};

// A plain value. Field names are in lower case.
struct RequestHead {
  std::string method;
  std::string path;   // as it was sent, without the query
  std::string query;  // without its question mark
  bool http11 = true;
  std::vector<std::pair<std::string, std::string>> fields;
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;

  // Whether a body follows.
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
  // The values of a field, in their order.
  std::vector<std::string_view> Values(std::string_view name) const;
  // The value of a field that is there once and not empty.
  std::optional<std::string_view> Only(std::string_view name) const;
};

// Reads the bytes of a head, its empty line included. What two servers in a row could take for
// different requests is refused rather than mended: line breaks that are not CR LF, folded fields,
// blanks before a colon, a length that is given twice, or beside chunks, or is no number, another
// transfer coding than chunked, no host or two. Nullopt: it is well.
std::optional<Fault> ReadHead(std::string_view bytes, RequestHead* head);

// The tokens of a list such as "keep-alive, Upgrade", in lower case.
std::vector<std::string> ListOf(std::string_view value);

}  // namespace pixpool::rest
