#include "server/rpc/caller.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

TEST(CallerTest, AnAddressHasNoPort) {
  EXPECT_EQ(CallerFromPeer("ipv4:10.0.0.7:52100"), "10.0.0.7");
  EXPECT_EQ(CallerFromPeer("ipv6:%5B2001:db8::1%5D:52100"), "2001:db8::1");
  EXPECT_EQ(CallerFromPeer("ipv6:[2001:db8::1]:52100"), "2001:db8::1");
}

TEST(CallerTest, AnIpv4CallerIsTheSameOnEverySocket) {
  EXPECT_EQ(CallerFromPeer("ipv6:%5B::ffff:10.0.0.7%5D:1"), "10.0.0.7");
}

TEST(CallerTest, SocketsOfThisMachineAreOneCaller) {
  EXPECT_EQ(CallerFromPeer("unix:/run/a.sock"), "unix");
  EXPECT_EQ(CallerFromPeer("unix-abstract:a"), "unix");
}

TEST(CallerTest, WhatGrpcDoesNotNameIsTakenAsItIs) {
  EXPECT_EQ(CallerFromPeer(""), "");
  EXPECT_EQ(CallerFromPeer("fd:12"), "fd:12");
  EXPECT_EQ(CallerFromPeer(std::string(1000, 'x')).size(), kMaxCallerBytes);
}

}  // namespace
}  // namespace pixpool
