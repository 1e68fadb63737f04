// Forms as HTTP clients send them: media types, queries, and bodies of several parts.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace pixpool::rest {

// "multipart/form-data; boundary=x", or the value of Content-Disposition.
struct MediaType {
  std::string type;                                         // in lower case
  std::vector<std::pair<std::string, std::string>> params;  // names in lower case

  // The first of that name.
  std::optional<std::string_view> Param(std::string_view name) const;
};

// Nullopt where it is malformed.
std::optional<MediaType> ParseMediaType(std::string_view text);

// One part of a form, or one pair of a query.
struct Part {
  std::string name;
  std::optional<std::string> file_name;
  std::string_view value;
};

// Pairs "name=value" joined by &, with %XX and + decoded. REQUEST_INVALID where it is malformed, or
// has more than `most` pairs. `storage` holds what was decoded and must outlive the result.
absl::StatusOr<std::vector<Part>> ParseQuery(std::string_view query, size_t most,
                                             std::vector<std::string>* storage);

// A body of multipart/form-data (RFC 7578), whose values are views into it. REQUEST_INVALID where
// it is malformed, has a part without a name, or more than `most` parts.
absl::StatusOr<std::vector<Part>> ParseMultipart(std::string_view body, std::string_view boundary,
                                                 size_t most);

}  // namespace pixpool::rest
