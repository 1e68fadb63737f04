#include "server/rpc/tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/sha256.h"

namespace pixpool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Line(const std::string& name, const std::string& token) {
  return name + " " + Sha256Hex(token) + "\n";
}

std::optional<std::string> NameOf(const Tokens& tokens, const std::string& token) {
  const auto terms = tokens.Find(token);
  return terms == nullptr ? std::nullopt : std::optional(terms->token);
}

TEST(TokensTest, ATokenHasTheNameOfItsLine) {
  const auto tokens = Tokens::Parse("# who calls\n\n" + Line("search", "a") + "  nightly.index \t" +
                                    Sha256Hex("b") + "\r\n" + Line("search", "c"));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(NameOf(*tokens, "a"), "search");
  EXPECT_EQ(NameOf(*tokens, "b"), "nightly.index");
  EXPECT_EQ(NameOf(*tokens, "c"), "search")
      << "two tokens of one name, while one follows the other";
  EXPECT_EQ(NameOf(*tokens, "d"), std::nullopt);
  EXPECT_EQ(NameOf(*tokens, ""), std::nullopt);
  EXPECT_EQ(NameOf(*tokens, Sha256Hex("a")), std::nullopt) << "who has read the file has no token";
  EXPECT_THAT(tokens->Names(), ElementsAre("nightly.index", "search"));
}

TEST(TokensTest, DigestsInUpperCaseAreTheSame) {
  std::string digest = Sha256Hex("a");
  for (char& c : digest) c = static_cast<char>(std::toupper(c));
  const auto tokens = Tokens::Parse("search " + digest);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(NameOf(*tokens, "a"), "search");
}

TEST(TokensTest, ALineMaySayWhatItsCallerMayHave) {
  const std::string terms = " images-per-second=2.5\tpriority=bulk requests=8";
  std::string text = Line("bulk", "a") + Line("free", "b") + Line("bulk", "c");
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += terms.size() + 1) {
    if (at != text.find(Sha256Hex("b")) + 64) text.insert(at, terms);
  }
  const auto tokens = Tokens::Parse(text);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  for (const char* token : {"a", "c"}) {
    const auto found = tokens->Find(token);
    ASSERT_NE(found, nullptr);
    EXPECT_TRUE(found->bulk_only);
    EXPECT_EQ(found->requests, 8);
    EXPECT_EQ(found->images_per_second, 2.5);
  }
  const auto free = tokens->Find("b");
  ASSERT_NE(free, nullptr);
  EXPECT_EQ(*free, CallerTerms{.token = "free"});
}

std::string Problem(const std::string& text) {
  const absl::Status status = Tokens::Parse(text).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
  return std::string(status.message());
}

TEST(TokensTest, WhatCannotBeReadIsToldByItsLineAndNotQuoted) {
  EXPECT_THAT(Problem(""), HasSubstr("holds no token"));
  EXPECT_THAT(Problem("# nothing\n\n"), HasSubstr("holds no token"));
  const std::string plain = Problem(Line("a", "x") + "search my-secret-token");
  EXPECT_THAT(plain, HasSubstr("line 2: the second word must be a SHA-256"));
  EXPECT_THAT(plain, Not(HasSubstr("secret")));
  EXPECT_THAT(Problem("search"), HasSubstr("line 1: must be a name and the SHA-256"));
  EXPECT_THAT(Problem("a b " + Sha256Hex("x")), HasSubstr("line 1: the second word must be"));
  EXPECT_THAT(Problem("na/me " + Sha256Hex("x")), HasSubstr("line 1: a name has letters"));
  EXPECT_THAT(Problem(Line(std::string(65, 'n'), "x")), HasSubstr("at most 64 of them"));
  EXPECT_THAT(Problem("a " + Sha256Hex("x").substr(1)), HasSubstr("64 digits"));
  EXPECT_THAT(Problem(Line("a", "x") + Line("b", "x")),
              HasSubstr("line 2: has a token that is in a line before it"));
  const auto with = [](const std::string& words) {
    return Problem("a " + Sha256Hex("x") + " " + words);
  };
  for (const char* words : {"secret", "Requests=1", "=1", "rps=4"}) {
    EXPECT_THAT(with(words),
                AllOf(HasSubstr("line 1: what follows the SHA-256 must be priority=bulk"),
                      Not(HasSubstr("secret"))));
  }
  for (const char* words :
       {"requests", "requests=0", "requests=-1", "requests=1.5", "requests=", "requests=x"}) {
    EXPECT_THAT(with(words), HasSubstr("requests must be a number from 1 to 1000000"));
  }
  for (const char* rate : {"0", "-1", "nan", "inf", "", "1e9"}) {
    EXPECT_THAT(with("images-per-second=" + std::string(rate)),
                HasSubstr("images-per-second must be a number from 0.001 to 1000000"));
  }
  EXPECT_THAT(with("priority=interactive"), HasSubstr("priority can only be bulk"));
  EXPECT_THAT(with("requests=1 requests=1"), HasSubstr("says requests twice"));
  EXPECT_THAT(Problem("a " + Sha256Hex("x") + " requests=1\na " + Sha256Hex("y")),
              HasSubstr("line 2: must have the same words behind the SHA-256"));
  std::string many;
  for (int i = 0; i < 1001; ++i) many += Line("n", std::to_string(i));
  EXPECT_THAT(Problem(many), HasSubstr("line 1001: is one too many: 1000 tokens"));
}

TEST(TokensTest, BearerIsTheOnlyScheme) {
  EXPECT_EQ(BearerToken("Bearer abc"), "abc");
  EXPECT_EQ(BearerToken("bearer  abc "), "abc");
  EXPECT_EQ(BearerToken("Basic abc"), std::nullopt);
  EXPECT_EQ(BearerToken("Bearer"), std::nullopt);
  EXPECT_EQ(BearerToken("Bearer "), std::nullopt);
  EXPECT_EQ(BearerToken(""), std::nullopt);
}

}  // namespace
}  // namespace pixpool
