#include "server/tls/tls_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/tls/certificates.h"

namespace pixpool {
namespace {

using ::testing::HasSubstr;

class TlsStoreTest : public testing::Test {
 protected:
  TlsStoreTest() {
    std::filesystem::create_directories(folder_);
    options_.certificate = folder_ + "/cert.pem";
    options_.key = folder_ + "/key.pem";
    options_.client_ca = folder_ + "/ca.pem";
    Copy("server.pem", "cert.pem");
    Copy("server.key", "key.pem");
    Copy("ca.pem", "ca.pem");
    store_ = *TlsStore::Open(options_, &metrics_);
  }
  ~TlsStoreTest() override { std::filesystem::remove_all(folder_); }

  void Copy(const std::string& from, const std::string& to) {
    std::filesystem::copy_file(CertificatePath(from), folder_ + "/" + to,
                               std::filesystem::copy_options::overwrite_existing);
  }
  void LookTwice() {
    store_->Look();
    store_->Look();
  }
  void ExpectCounts(int taken, int refused, bool now_refused) {
    const std::string text = metrics_.Scrape();
    const auto count = [](const char* outcome, int number) {
      return "pixpool_tls_reloads_total{outcome=\"" + std::string(outcome) + "\"} " +
             std::to_string(number) + "\n";
    };
    EXPECT_THAT(text, HasSubstr(count("taken", taken)));
    EXPECT_THAT(text, HasSubstr(count("refused", refused)));
    EXPECT_THAT(text, HasSubstr(now_refused ? "\npixpool_tls_files_refused 1\n"
                                            : "\npixpool_tls_files_refused 0\n"));
  }

  const std::string folder_ = testing::TempDir() + "/tls_store_" + std::to_string(getpid());
  Metrics metrics_;
  TlsOptions options_;
  std::unique_ptr<TlsStore> store_;
};

TEST_F(TlsStoreTest, FilesThatStayServeOn) {
  const TlsStore::Serving first = store_->serving();
  EXPECT_NE(first.version, 0);
  EXPECT_THAT(first.files->certificate, HasSubstr("BEGIN CERTIFICATE"));
  LookTwice();
  EXPECT_EQ(store_->serving().files, first.files);
  ExpectCounts(0, 0, false);
}

TEST_F(TlsStoreTest, APairIsTakenAsAWhole) {
  const TlsStore::Serving first = store_->serving();
  Copy("other.pem", "cert.pem");
  store_->Look();
  Copy("other.key", "key.pem");
  store_->Look();
  EXPECT_EQ(store_->serving().version, first.version) << "it may be in the middle of being written";
  store_->Look();
  EXPECT_NE(store_->serving().version, first.version);
  EXPECT_NE(store_->serving().files->key, first.files->key);
  ExpectCounts(1, 0, false);
}

TEST_F(TlsStoreTest, AWrongPairLeavesTheOldOneServingUntilItIsRight) {
  const TlsStore::Serving first = store_->serving();
  Copy("other.pem", "cert.pem");
  for (int i = 0; i < 3; ++i) LookTwice();
  EXPECT_EQ(store_->serving().files, first.files);
  ExpectCounts(0, 1, true);
  Copy("cut.pem", "cert.pem");
  LookTwice();
  EXPECT_EQ(store_->serving().files, first.files);
  ExpectCounts(0, 2, true);
  Copy("expired.pem", "cert.pem");
  Copy("expired.key", "key.pem");
  LookTwice();
  EXPECT_NE(store_->serving().version, first.version);
  ExpectCounts(1, 2, false);
}

TEST_F(TlsStoreTest, AFileThatIsGoneIsAWrongOneAndTheOldOneComingBackIsRight) {
  const TlsStore::Serving first = store_->serving();
  std::filesystem::remove(folder_ + "/ca.pem");
  store_->Look();
  ExpectCounts(0, 0, false);
  store_->Look();
  ExpectCounts(0, 1, true);
  Copy("ca.pem", "ca.pem");
  store_->Look();
  ExpectCounts(0, 1, false);
  EXPECT_EQ(store_->serving().files, first.files);
}

TEST_F(TlsStoreTest, TheEndOfTheCertificateIsAMetric) {
  const std::string text = metrics_.Scrape();
  const std::string name = "\npixpool_tls_certificate_expiry_timestamp_seconds ";
  const size_t at = text.find(name);
  ASSERT_NE(at, text.npos);
  const double end = std::stod(text.substr(at + name.size()));
  EXPECT_NEAR(end, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) + 30 * 86'400, 86'400);
}

TEST_F(TlsStoreTest, ABadFileEndsTheStart) {
  options_.key = CertificatePath("other.key");
  const absl::Status status = TlsStore::Open(options_, &metrics_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("is not the key of"));
}

}  // namespace
}  // namespace pixpool
