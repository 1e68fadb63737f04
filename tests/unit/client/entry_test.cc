#include "client/cpp/entry.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
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

TEST_F(EntryTest, TwoTokensAreRefused) {
  const auto entry = Entry::Make({.tls = true, .token_file = File("token", "abc")}, kElsewhere);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(
      (*entry)->Complete({{"authorization", "Bearer other"}}).status(),
      absl::InvalidArgumentError("token_file and the header authorization both say by whose right "
                                 "a call comes: give one"));
  EXPECT_THAT(*(*entry)->Complete({{"x-api-key", "other"}}),
              ElementsAre(Pair("x-api-key", "other"), Pair("authorization", "Bearer abc")));
}

TEST_F(EntryTest, DamagedFilesAreNamedBeforeAnyConnection) {
  const auto made = [](const char* name) {
    return absl::StrCat(PIXPOOL_TEST_CERTIFICATES, "/", name);
  };
  const Access good = {
      .ca = made("ca.pem"), .client_cert = made("chain.pem"), .client_key = made("server.key")};
  EXPECT_TRUE(Entry::Make(good, kHere).ok()) << Entry::Make(good, kHere).status();
  Access cut = good;
  cut.ca = made("cut.pem");
  EXPECT_EQ(Problem(cut), "ca " + cut.ca + ": certificate 2 in it is damaged");
  cut = good;
  cut.client_cert = made("cut.pem");
  EXPECT_EQ(Problem(cut), "client_cert " + cut.client_cert + ": certificate 2 in it is damaged");
  cut = good;
  cut.client_key = File("cut.key", "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n");
  EXPECT_EQ(Problem(cut),
            "client_key " + cut.client_key + ": holds no PRIVATE KEY in PEM that can be read");
  cut.client_key = good.client_cert;
  EXPECT_EQ(Problem(cut),
            "client_key " + cut.client_key + ": holds no PRIVATE KEY in PEM that can be read");
  cut.client_key = made("other.key");
  EXPECT_EQ(Problem(cut), "client_key " + cut.client_key +
                              ": is not the key of the first certificate in client_cert " +
                              good.client_cert);
}

TEST_F(EntryTest, WhatCannotBeUsedIsNamed) {
  const std::string none = folder_ + "/none";
  EXPECT_THAT(Problem({.ca = none}), HasSubstr("ca " + none + ": cannot be read: No such file"));
  EXPECT_THAT(Problem({.ca = File("a", "text")}), HasSubstr("a: holds no CERTIFICATE in PEM"));
  EXPECT_THAT(Problem({.client_cert = none}), HasSubstr("client_key need each other"));
  EXPECT_THAT(Problem({.client_key = none}), HasSubstr("client_key need each other"));
  const std::string made = PIXPOOL_TEST_CERTIFICATES;
  EXPECT_THAT(Problem({.client_cert = made + "/server.pem", .client_key = made + "/locked.key"}),
              HasSubstr("locked.key: is encrypted; decrypt it"));
  EXPECT_THAT(Problem({.token_file = none}),
              HasSubstr("token_file " + none + ": cannot be read: No such file"));
  EXPECT_THAT(Problem({.token_file = File("t", " \n")}), HasSubstr("must hold one token"));
  const auto both = Entry::Make({.tls = true}, kHere, grpc::SslCredentials({}));
  EXPECT_THAT(std::string(both.status().message()), HasSubstr("give one"));
}

}  // namespace
}  // namespace pixpool::client::internal
