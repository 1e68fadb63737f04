#include "server/net/connection_table.h"

#include <gtest/gtest.h>

#include "tests/unit/net/sockets.h"

namespace pixpool {
namespace {

class ConnectionTableTest : public testing::Test {
 protected:
  static Descriptor Socket() { return Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

  std::vector<PeerKey> closed_;
  ConnectionTable table_{[this](PeerKey peer) { closed_.push_back(peer); }};
};

TEST_F(ConnectionTableTest, SeesThatADescriptorWasClosed) {
  Descriptor a = Socket();
  Descriptor b = Socket();
  table_.Add(a.get(), 1);
  table_.Add(b.get(), 2);
  table_.Sweep();
  EXPECT_TRUE(closed_.empty());
  a.Close();
  table_.Sweep();
  table_.Sweep();
  EXPECT_EQ(closed_, std::vector<PeerKey>{1});
}

TEST_F(ConnectionTableTest, IsNotFooledByTheNextSocketWithTheSameNumber) {
  Descriptor a = Socket();
  table_.Add(a.get(), 1);
  const int number = a.get();
  a.Close();
  const Descriptor b = Socket();
  ASSERT_EQ(b.get(), number) << "the kernel gives the lowest number that is free";
  table_.Sweep();
  EXPECT_EQ(closed_, std::vector<PeerKey>{1});
}

TEST_F(ConnectionTableTest, ANewConnectionOfTheSameNumberEndsTheOld) {
  Descriptor a = Socket();
  table_.Add(a.get(), 1);
  a.Close();
  const Descriptor b = Socket();
  table_.Add(b.get(), 2);
  EXPECT_EQ(closed_, std::vector<PeerKey>{1});
  table_.Sweep();
  EXPECT_EQ(closed_, std::vector<PeerKey>{1});
}

TEST_F(ConnectionTableTest, UncountedOnesEndWithoutAWord) {
  Descriptor a = Socket();
  table_.Add(a.get(), std::nullopt);
  a.Close();
  table_.Sweep();
  EXPECT_TRUE(closed_.empty());
}

}  // namespace
}  // namespace pixpool
