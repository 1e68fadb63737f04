#include "server/tls/tls_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/tls/certificates.h"

namespace pixpool {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<CertificateTimes> Check(const TlsOptions& options) {
  const absl::StatusOr<TlsFiles> files = ReadTlsFiles(options);
  if (!files.ok()) return files.status();
  return CheckTlsFiles(options, *files);
}

// What is said of files that cannot serve.
std::string Problem(const TlsOptions& options) {
  const absl::Status status = Check(options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  return std::string(status.message());
}

TEST(TlsCheckTest, AChainItsKeyAndAClientCaServe) {
  const auto times = Check(Files("chain.pem", "server.key", "ca.pem"));
  ASSERT_TRUE(times.ok()) << times.status();
  EXPECT_LT(times->begin, absl::Now() + absl::Minutes(1));
  EXPECT_GT(times->end, absl::Now() + absl::Hours(29 * 24));
  EXPECT_LT(times->end, absl::Now() + absl::Hours(31 * 24));
}

TEST(TlsCheckTest, AnExpiredOneServesAndSaysSo) {
  const auto times = Check(Files("expired.pem", "expired.key"));
  ASSERT_TRUE(times.ok()) << times.status();
  EXPECT_LT(times->end, absl::Now());
}

TEST(TlsCheckTest, WhatCannotServeIsToldByOptionFileAndCause) {
  EXPECT_THAT(Problem(Files("none.pem", "server.key")),
              AllOf(HasSubstr("--tls-cert "), HasSubstr("none.pem: cannot be opened: No such")));
  EXPECT_THAT(Problem(Files("server.pem", "none.key")),
              AllOf(HasSubstr("--tls-key "), HasSubstr("none.key: cannot be opened: No such")));
  EXPECT_THAT(Problem(Files("server.pem", "server.key", "none.pem")),
              AllOf(HasSubstr("--tls-client-ca "), HasSubstr("none.pem: cannot be opened")));
  EXPECT_THAT(Problem(Files("", "server.key")), HasSubstr("cannot be read: Is a directory"));
  EXPECT_THAT(Problem(Files("server.der", "server.key")), HasSubstr("server.der: is no PEM"));
  EXPECT_THAT(Problem(Files("empty.pem", "server.key")),
              HasSubstr("empty.pem: holds no certificate in PEM"));
  EXPECT_THAT(Problem(Files("server.key", "server.key")),
              HasSubstr("server.key: holds no certificate in PEM"));
  EXPECT_THAT(Problem(Files("cut.pem", "server.key")),
              HasSubstr("cut.pem: has a certificate that cannot be read: "));
  EXPECT_THAT(Problem(Files("server.pem", "server.pem")),
              HasSubstr("server.pem: holds no private key in PEM that can be read: "));
  EXPECT_THAT(Problem(Files("server.pem", "locked.key")),
              HasSubstr("locked.key: is encrypted, and nobody is there to give its password"));
  EXPECT_THAT(Problem(Files("server.pem", "other.key")),
              AllOf(HasSubstr("other.key: is not the key of the first certificate in --tls-cert "),
                    HasSubstr("server.pem")));
  EXPECT_THAT(Problem(Files("server.pem", "server.key", "empty.pem")),
              AllOf(HasSubstr("--tls-client-ca "), HasSubstr("empty.pem: holds no certificate")));
  EXPECT_THAT(Problem(Files("server.pem", "server.key", "many.pem")),
              AllOf(HasSubstr("--tls-client-ca "),
                    HasSubstr("many.pem: the names of its 63 certificates take 6"),
                    HasSubstr(" bytes, over the 60000 that a handshake has room for")));
  EXPECT_THAT(Problem(Files("short.pem", "short.key")),
              HasSubstr("short.pem: cannot be used: ee key too small"));
}

}  // namespace
}  // namespace pixpool
