#include "server/rpc/tokens.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "server/base/sha256.h"
#include "server/base/text.h"
#include "server/rpc/priority.h"

namespace pixpool {
namespace {

constexpr size_t kDigits = 64;
constexpr size_t kMostNameBytes = 64;
// Each call is compared with all of them, and each name is a series of metrics.
constexpr size_t kMostTokens = 1'000;
constexpr char kPriorityTerm[] = "priority";
constexpr int64_t kMostRequests = 1'000'000;
constexpr double kLeastRate = 0.001;
constexpr int64_t kMostRate = 1'000'000;

bool IsName(absl::string_view name) {
  return name.size() <= kMostNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool IsDigest(absl::string_view text) {
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

// Reads one word behind the digest, such as "requests=8". What is wrong with it, which does not
// quote it: it may be anything that stands in the wrong place.
std::optional<std::string> ReadTerm(std::string_view word, CallerTerms* terms) {
  const size_t equals = word.find('=');
  const std::string_view key = word.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? "" : std::string_view(word).substr(equals + 1);
  if (key == kPriorityTerm) {
    // Callers say "interactive" themselves, so there is nothing to grant.
    if (value != PriorityName(Priority::kBulk)) return "priority can only be bulk";
    terms->bulk_only = true;
    return std::nullopt;
  }
  if (key == kRequestsTerm) {
    int64_t requests = 0;
    if (!absl::SimpleAtoi(ToAbsl(value), &requests) || requests < 1 || requests > kMostRequests) {
      return Concat("requests must be a number from 1 to ", kMostRequests);
    }
    terms->requests = requests;
    return std::nullopt;
  }
  if (key == kImagesPerSecondTerm) {
    double rate = 0;
    if (!absl::SimpleAtod(ToAbsl(value), &rate) ||
        !(rate >= kLeastRate && rate <= static_cast<double>(kMostRate))) {
      return Concat("images-per-second must be a number from ", kLeastRate, " to ", kMostRate);
    }
    terms->images_per_second = rate;
    return std::nullopt;
  }
  return Concat("what follows the SHA-256 must be ", kPriorityTerm, "=bulk, ", kRequestsTerm,
                "=N or ", kImagesPerSecondTerm, "=R");
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
    if (words.size() < 2) {
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
    CallerTerms terms{.token = std::string(words[0])};
    std::set<absl::string_view> keys;
    for (size_t i = 2; i < words.size(); ++i) {
      if (const auto problem = ReadTerm(ToStd(words[i]), &terms)) return wrong(*problem);
      const absl::string_view key = words[i].substr(0, words[i].find('='));
      if (!keys.insert(key).second) return wrong(Concat("says ", ToStd(key), " twice"));
    }
    auto& named = tokens.by_name_[terms.token];
    if (named == nullptr) named = std::make_shared<const CallerTerms>(terms);
    if (!(*named == terms)) {
      return wrong("must have the same words behind the SHA-256 as the line before of its name");
    }
    tokens.tokens_.push_back({std::move(digest), named});
  }
  if (tokens.tokens_.empty()) {
    return absl::InvalidArgumentError("holds no token, so that no call could come in");
  }
  return tokens;
}

std::shared_ptr<const CallerTerms> Tokens::Find(std::string_view token) const {
  const std::string digest = Sha256Hex(token);
  const Token* found = nullptr;
  for (const Token& known : tokens_) {
    if (Equal(known.sha256, digest)) found = &known;
  }
  return found == nullptr ? nullptr : found->terms;
}

std::vector<std::string> Tokens::Names() const {
  std::vector<std::string> names;
  names.reserve(by_name_.size());
  for (const auto& [name, terms] : by_name_) names.push_back(name);
  return names;
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
