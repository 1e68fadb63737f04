#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace pixpool {

// The tokens that let a call in, by what is kept of them: names and digests. A value.
class Tokens {
 public:
  // Reads lines of a name and a SHA-256 in hexadecimal, with blanks between them. Lines that are
  // empty or begin with # say nothing; a name may have several lines, for tokens that follow each
  // other. INVALID_ARGUMENT naming the line.
  static absl::StatusOr<Tokens> Parse(std::string_view text);

  // Whose a token is. Takes the same time for each that is not known, however near it comes.
  std::optional<std::string> NameOf(std::string_view token) const;

  // All names, each once.
  std::vector<std::string> Names() const;

 private:
  struct Token {
    std::string name;
    std::string sha256;  // lower-case hexadecimal
  };
  std::vector<Token> tokens_;
};

// The token in a header "authorization": what follows "Bearer ", in whatever case.
std::optional<std::string_view> BearerToken(std::string_view authorization);

}  // namespace pixpool
