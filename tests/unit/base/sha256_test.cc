#include "server/base/sha256.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

namespace pixpool {
namespace {

// FIPS 180-2, appendix B.
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kMillionA[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Sha256Test, KnownDigests) {
  EXPECT_EQ(Sha256Hex("abc"), kAbc);
  EXPECT_EQ(Sha256Hex(""), kEmpty);
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')), kMillionA);
}

TEST(Sha256Test, FileEqualsItsBytes) {
  const std::string path = testing::TempDir() + "/sha256_test.bin";
  const auto digest_of = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    return Sha256HexOfFile(path);
  };
  EXPECT_EQ(*digest_of("abc"), kAbc);
  EXPECT_EQ(*digest_of(""), kEmpty);
  // Sizes around the block that is read at a time.
  for (const size_t size : {(1u << 20) - 1, 1u << 20, (1u << 20) + 1, 3u << 20}) {
    const std::string bytes(size, '\xA5');
    EXPECT_EQ(*digest_of(bytes), Sha256Hex(bytes)) << size;
  }
  std::remove(path.c_str());
}

TEST(Sha256Test, UnreadableFilesAreErrors) {
  const auto missing = Sha256HexOfFile(testing::TempDir() + "/no_such_file");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find("no_such_file"), absl::string_view::npos);
  EXPECT_FALSE(Sha256HexOfFile(testing::TempDir()).ok()) << "a folder has no digest";
  const std::string pipe = testing::TempDir() + "/sha256_pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(Sha256HexOfFile(pipe).ok()) << "and nobody waits for a pipe's";
  std::remove(pipe.c_str());
}

}  // namespace
}  // namespace pixpool
