#include "server/rpc/tokens.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "server/base/sha256.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr size_t kDigits = 64;
constexpr size_t kMostNameBytes = 64;
// Each call is compared with all of them, and each name is a series of metrics.
constexpr size_t kMostTokens = 1'000;

bool IsName(absl::string_view name) {
  return name.size() <= kMostNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool IsDigest(absl::string_view text) {
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

// Whether two digests are equal, in a time that does not depend on where they differ.
bool Equal(std::string_view a, std::string_view b) {
  unsigned difference = 0;
  for (size_t i = 0; i < kDigits; ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

}  // namespace

absl::StatusOr<Tokens> Tokens::Parse(std::string_view text) {
  Tokens tokens;
  std::set<std::string> digests;
  size_t number = 0;
  const auto wrong = [&number](std::string_view why) {
    return absl::InvalidArgumentError(Concat("line ", number, ": ", why));
  };
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty() || words.front().front() == '#') continue;
    // The line is not quoted: it may hold the token itself.
    if (words.size() != 2) {
      return wrong("must be a name and the SHA-256 of a token, with a blank between them");
    }
    if (!IsName(words[0])) {
      return wrong(Concat("a name has letters, digits, \"-\", \"_\" and \".\", at most ",
                          kMostNameBytes, " of them"));
    }
    if (!IsDigest(words[1])) {
      return wrong(Concat("the second word must be a SHA-256, ", kDigits,
                          " digits of hexadecimal, and never the token itself"));
    }
    std::string digest = absl::AsciiStrToLower(words[1]);
    if (!digests.insert(digest).second) return wrong("has a token that is in a line before it");
    if (tokens.tokens_.size() == kMostTokens) {
      return wrong(Concat("is one too many: ", kMostTokens, " tokens are the most"));
    }
    tokens.tokens_.push_back({std::string(words[0]), std::move(digest)});
  }
  if (tokens.tokens_.empty()) {
    return absl::InvalidArgumentError("holds no token, so that no call could come in");
  }
  return tokens;
}

std::optional<std::string> Tokens::NameOf(std::string_view token) const {
  const std::string digest = Sha256Hex(token);
  const Token* found = nullptr;
  for (const Token& known : tokens_) {
    if (Equal(known.sha256, digest)) found = &known;
  }
  if (found == nullptr) return std::nullopt;
  return found->name;
}

std::vector<std::string> Tokens::Names() const {
  std::set<std::string> names;
  for (const Token& token : tokens_) names.insert(token.name);
  return {names.begin(), names.end()};
}

std::optional<std::string_view> BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!absl::StartsWithIgnoreCase(ToAbsl(authorization), ToAbsl(kScheme))) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  const absl::string_view token = absl::StripAsciiWhitespace(ToAbsl(authorization));
  if (token.empty()) return std::nullopt;
  return ToStd(token);
}

}  // namespace pixpool
