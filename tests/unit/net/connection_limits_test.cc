#include "server/net/connection_limits.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

using Room = ConnectionLimits::Room;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ConnectionLimitsTest, CountsInAllAndByAddress) {
  ConnectionLimits limits({.total = 3, .per_address = 2, .rate = 1});
  limits.Opened(1);
  EXPECT_EQ(limits.RoomFor(1), Room::kYes);
  limits.Opened(1);
  EXPECT_EQ(limits.RoomFor(1), Room::kAddressFull);
  EXPECT_EQ(limits.RoomFor(2), Room::kYes) << "one address does not take what others need";
  limits.Opened(2);
  EXPECT_EQ(limits.RoomFor(3), Room::kFull);
  EXPECT_EQ(limits.open(), 3);
  limits.Closed(1);
  EXPECT_EQ(limits.RoomFor(1), Room::kYes);
  EXPECT_EQ(limits.RoomFor(3), Room::kYes);
}

TEST(ConnectionLimitsTest, BeginsTenSecondsWorthAtOnceThenTheRate) {
  FakeClock clock;
  ConnectionLimits limits({.total = 1000, .per_address = 1000, .rate = 2});
  limits.Opened(1);
  limits.Opened(2);
  const auto begun = [&](PeerKey peer) {
    int count = 0;
    while (limits.MayBegin(peer, clock.Now())) ++count;
    return count;
  };
  EXPECT_EQ(begun(1), 20);
  EXPECT_EQ(begun(2), 20) << "each address has a rate of its own";
  clock.Advance(milliseconds(499));
  EXPECT_EQ(begun(1), 0);
  clock.Advance(milliseconds(1));
  EXPECT_EQ(begun(1), 1);
  clock.Advance(seconds(3600));
  EXPECT_EQ(begun(1), 20) << "what is not used is not saved up";
}

TEST(ConnectionLimitsTest, ForgetsAddressesOnlyWhenThatGivesNothingAway) {
  FakeClock clock;
  ConnectionLimits limits({.total = 9, .per_address = 9, .rate = 1});
  limits.Opened(1);
  EXPECT_TRUE(limits.MayBegin(1, clock.Now()));
  limits.ForgetIdle(clock.Now());
  EXPECT_EQ(limits.known_addresses(), 1U) << "it has a connection";
  limits.Closed(1);
  limits.ForgetIdle(clock.Now());
  EXPECT_EQ(limits.known_addresses(), 1U) << "forgotten now, it would have all of its burst again";
  clock.Advance(seconds(1));
  limits.ForgetIdle(clock.Now());
  EXPECT_EQ(limits.known_addresses(), 0U);
}

TEST(ConnectionLimitsTest, ThoseByUnixSocketsCountInAllAlone) {
  FakeClock clock;
  ConnectionLimits limits({.total = 30, .per_address = 2, .rate = 1});
  for (int i = 0; i < 29; ++i) {
    EXPECT_EQ(limits.RoomFor(kUnixPeer), Room::kYes);
    limits.Opened(kUnixPeer);
    EXPECT_TRUE(limits.MayBegin(kUnixPeer, clock.Now()));
  }
  EXPECT_EQ(limits.RoomFor(1), Room::kYes);
  limits.Opened(1);
  EXPECT_EQ(limits.RoomFor(kUnixPeer), Room::kFull);
}

}  // namespace
}  // namespace pixpool
