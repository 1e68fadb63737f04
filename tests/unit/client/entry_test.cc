#include "client/cpp/entry.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::client::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr char kHere[] = "127.0.0.1:50051";
constexpr char kElsewhere[] = "pixpool.example.com:50051";

class EntryTest : public testing::Test {
 protected:
  EntryTest() { std::filesystem::create_directories(folder_); }
  ~EntryTest() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name, const std::string& text) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  std::string Problem(const Access& access, const std::string& target = kHere) const {
    const auto entry = Entry::Make(access, target);
    EXPECT_TRUE(absl::IsInvalidArgument(entry.status())) << entry.status();
    return std::string(entry.status().message());
  }

  const std::string folder_ = testing::TempDir() + "/entry_test." + std::to_string(getpid());
};

TEST_F(EntryTest, NothingIsAddedUnlessAskedFor) {
  const auto entry = Entry::Make({}, kElsewhere);
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ((*entry)->Complete({})->size(), 0U);
  EXPECT_THAT(*(*entry)->Complete({{"traceparent", "x"}}), ElementsAre(Pair("traceparent", "x")));
  EXPECT_FALSE((*entry)->Complete({{"Upper", "x"}}).ok());
}

TEST_F(EntryTest, ASecretDoesNotGoElsewhereInClearText) {
  const std::string token = File("token", "abc\n");
  EXPECT_THAT(Problem({.token_file = token}, kElsewhere),
              HasSubstr("the token would go to pixpool.example.com:50051 in clear text: use TLS"));
  const Headers secret = {{"authorization", "Bearer abc"}};
  EXPECT_TRUE(absl::IsInvalidArgument((*Entry::Make({}, kElsewhere))->Complete(secret).status()));
  const Headers key = {{"x-api-key", "abc"}};
  EXPECT_TRUE(absl::IsInvalidArgument((*Entry::Make({}, kElsewhere))->Complete(key).status()));

  for (const auto& [access, target] :
       {std::pair(Access{}, kHere), std::pair(Access{}, "unix:/run/pixpool.sock"),
        std::pair(Access{.tls = true}, kElsewhere),
        std::pair(Access{.allow_plain_token = true}, kElsewhere)}) {
    EXPECT_THAT(*(*Entry::Make(access, target))->Complete(secret),
                ElementsAre(Pair("authorization", "Bearer abc")))
        << target;
    Access with_token = access;
    with_token.token_file = token;
    EXPECT_THAT(*(*Entry::Make(with_token, target))->Complete({}),
                ElementsAre(Pair("authorization", "Bearer abc")))
        << target;
  }
  const auto own = Entry::Make({.token_file = token}, kElsewhere, grpc::SslCredentials({}));
  EXPECT_TRUE(own.ok()) << "credentials of the caller's own encrypt";
}

TEST_F(EntryTest, ATokenIsReadAgainWhenItsFileChanges) {
  const std::string path = File("token", "first");
  const auto entry = Entry::Make({.token_file = path}, kHere);
  ASSERT_TRUE(entry.ok()) << entry.status();
  const auto sent = [&] { return (*(*entry)->Complete({}))[0].second; };
  EXPECT_EQ(sent(), "Bearer first");
  File("token", "the second one\n");
  EXPECT_EQ(sent(), "Bearer first") << "no token has spaces: it may be half-written";
  File("token", "the-third-one");
  EXPECT_EQ(sent(), "Bearer the-third-one");
  std::filesystem::remove(path);
  EXPECT_EQ(sent(), "Bearer the-third-one");
}

TEST_F(EntryTest, WhatCannotBeUsedIsNamed) {
  const std::string none = folder_ + "/none";
  EXPECT_THAT(Problem({.ca = none}), HasSubstr("ca " + none + ": cannot be read: No such file"));
  EXPECT_THAT(Problem({.ca = File("a", "text")}), HasSubstr("a: holds no CERTIFICATE in PEM"));
  EXPECT_THAT(Problem({.client_cert = none}), HasSubstr("client_key need each other"));
  EXPECT_THAT(Problem({.client_key = none}), HasSubstr("client_key need each other"));
  const std::string locked =
      File("k", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n");
  const std::string certificate = File("c", "-----BEGIN CERTIFICATE-----\n");
  EXPECT_THAT(Problem({.client_cert = certificate, .client_key = locked}),
              HasSubstr("k: is encrypted; decrypt it"));
  EXPECT_THAT(Problem({.token_file = none}),
              HasSubstr("token_file " + none + ": cannot be read: No such file"));
  EXPECT_THAT(Problem({.token_file = File("t", " \n")}), HasSubstr("must hold one token"));
  const auto both = Entry::Make({.tls = true}, kHere, grpc::SslCredentials({}));
  EXPECT_THAT(std::string(both.status().message()), HasSubstr("give one"));
}

}  // namespace
}  // namespace pixpool::client::internal
