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

TEST(TokensTest, ATokenHasTheNameOfItsLine) {
  const auto tokens = Tokens::Parse("# who calls\n\n" + Line("search", "a") + "  nightly.index \t" +
                                    Sha256Hex("b") + "\r\n" + Line("search", "c"));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(tokens->NameOf("a"), "search");
  EXPECT_EQ(tokens->NameOf("b"), "nightly.index");
  EXPECT_EQ(tokens->NameOf("c"), "search") << "two tokens of one name, while one follows the other";
  EXPECT_EQ(tokens->NameOf("d"), std::nullopt);
  EXPECT_EQ(tokens->NameOf(""), std::nullopt);
  EXPECT_EQ(tokens->NameOf(Sha256Hex("a")), std::nullopt) << "who has read the file has no token";
  EXPECT_THAT(tokens->Names(), ElementsAre("nightly.index", "search"));
}

TEST(TokensTest, DigestsInUpperCaseAreTheSame) {
  std::string digest = Sha256Hex("a");
  for (char& c : digest) c = static_cast<char>(std::toupper(c));
  const auto tokens = Tokens::Parse("search " + digest);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(tokens->NameOf("a"), "search");
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
  EXPECT_THAT(Problem("a b " + Sha256Hex("x")), HasSubstr("line 1: must be a name"));
  EXPECT_THAT(Problem("na/me " + Sha256Hex("x")), HasSubstr("line 1: a name has letters"));
  EXPECT_THAT(Problem(Line(std::string(65, 'n'), "x")), HasSubstr("at most 64 of them"));
  EXPECT_THAT(Problem("a " + Sha256Hex("x").substr(1)), HasSubstr("64 digits"));
  EXPECT_THAT(Problem(Line("a", "x") + Line("b", "x")),
              HasSubstr("line 2: has a token that is in a line before it"));
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
