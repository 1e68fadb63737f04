#include "server/net/unix_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/net/sockets.h"

namespace pixpool {
namespace {

class UnixSocketTest : public testing::Test {
 protected:
  UnixSocketTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~UnixSocketTest() override { std::filesystem::remove_all(folder_); }

  absl::Status Problem() const { return ListenAtPath(path_, 0600).status(); }

  const std::string folder_ = testing::TempDir() + "/unix_socket_test." + std::to_string(getpid());
  const std::string path_ = folder_ + "/a.sock";
};

TEST_F(UnixSocketTest, TheFileHasItsPermissionsAndGoesWithTheSocket) {
  for (const mode_t mode : {0600U, 0660U, 0666U}) {
    const auto listener = ListenAtPath(path_, mode);
    ASSERT_TRUE(listener.ok()) << listener.status();
    struct stat status = {};
    ASSERT_EQ(lstat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, mode);
    const Descriptor client = ConnectPath(path_);
    EXPECT_TRUE(client.valid());
    const Descriptor accepted(accept(listener->socket.get(), nullptr, nullptr));
    EXPECT_TRUE(IsFromThisProcess(accepted));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(ConnectPath(path_).valid());
}

TEST_F(UnixSocketTest, WhatAnEndedProcessLeftIsReplaced) {
  {
    const Descriptor dead(socket(AF_UNIX, SOCK_STREAM, 0));
    const SocketAddress address = UnixAddress(path_);
    ASSERT_EQ(bind(dead.get(), address.get(), address.size), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(path_));
  const auto listener = ListenAtPath(path_, 0600);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(ConnectPath(path_).valid());
}

TEST_F(UnixSocketTest, WhereSomebodyAnswersItIsLeft) {
  const auto first = ListenAtPath(path_, 0600);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(Problem(), absl::UnavailableError("another process answers there"));
  EXPECT_TRUE(ConnectPath(path_).valid());
}

TEST_F(UnixSocketTest, WhatStandsInItsPlaceIsNotRemoved) {
  {
    const auto first = ListenAtPath(path_, 0600);
    ASSERT_TRUE(first.ok()) << first.status();
    std::filesystem::remove(path_);
    std::ofstream(path_) << "text";
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_THAT(std::string(Problem().message()), testing::HasSubstr("a file that is no socket"));
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(UnixSocketTest, AFolderThatIsNotThereIsNamed) {
  const absl::Status status = ListenAtPath(folder_ + "/none/a.sock", 0600).status();
  EXPECT_EQ(status, absl::UnavailableError(folder_ + "/none/: No such file or directory"));
}

}  // namespace
}  // namespace pixpool
