#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/call_context.h"

namespace pixpool {

// The tokens that let a call in, by what is kept of them: names, digests and terms. A value.
class Tokens {
 public:
  // Reads lines of a name and a SHA-256 in hexadecimal, with blanks between them, and after these
  // the terms of the caller, in any order: `priority=bulk`, `requests=N`, `images-per-second=R`.
  // Lines that are empty or begin with # say nothing; a name may have several lines, for tokens
  // that follow each other, all with the same terms. INVALID_ARGUMENT naming the line.
  static absl::StatusOr<Tokens> Parse(std::string_view text);

  // Whose a token is, and what it allows; null if it is not known. Takes the same time for each
  // that is not, however near it comes.
  std::shared_ptr<const CallerTerms> Find(std::string_view token) const;

  // All names, each once.
  std::vector<std::string> Names() const;

 private:
  struct Token {
    std::string sha256;  // lower-case hexadecimal
    std::shared_ptr<const CallerTerms> terms;
  };
  std::vector<Token> tokens_;
  std::map<std::string, std::shared_ptr<const CallerTerms>> by_name_;
};

// The token in a header "authorization": what follows "Bearer ", in whatever case.
std::optional<std::string_view> BearerToken(std::string_view authorization);

}  // namespace pixpool
