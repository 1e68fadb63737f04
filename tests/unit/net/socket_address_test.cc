#include "server/net/socket_address.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

SocketAddress Of(const std::string& text) {
  const auto addresses = Resolve(text);
  EXPECT_TRUE(addresses.ok() && addresses->size() == 1) << text;
  return addresses->front();
}

TEST(SocketAddressTest, WhoCountsAsOne) {
  const PeerKey four = PeerKeyOf(Of("192.0.2.1:1"));
  EXPECT_EQ(four, PeerKeyOf(Of("192.0.2.1:2")));
  EXPECT_EQ(four, PeerKeyOf(Of("[::ffff:192.0.2.1]:1"))) << "how IPv4 comes to a socket of IPv6";
  EXPECT_NE(four, PeerKeyOf(Of("192.0.2.2:1")));
  const PeerKey six = PeerKeyOf(Of("[2001:db8:0:1::1]:1"));
  EXPECT_EQ(six, PeerKeyOf(Of("[2001:db8:0:1:ffff::7]:9"))) << "one /64";
  EXPECT_NE(six, PeerKeyOf(Of("[2001:db8:0:2::1]:1")));
}

TEST(SocketAddressTest, SameHostWhateverThePort) {
  EXPECT_TRUE(SameHost(Of("127.0.0.1:1"), Of("[::ffff:127.0.0.1]:2")));
  EXPECT_FALSE(SameHost(Of("127.0.0.1:1"), Of("127.0.0.2:1")));
  EXPECT_FALSE(SameHost(Of("[2001:db8::1]:1"), Of("[2001:db8::2]:1")));
}

TEST(SocketAddressTest, LoopbackIsOfThisMachineAlone) {
  for (const std::string text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_TRUE(IsLoopback(Of(text))) << text;
  }
  for (const std::string text : {"0.0.0.0:1", "[::]:1", "10.0.0.127:1", "[2001:db8::1]:1"}) {
    EXPECT_FALSE(IsLoopback(Of(text))) << text;
  }
}

TEST(SocketAddressTest, EitherWildcardIsThatOfIpv6) {
  for (const std::string text : {"0.0.0.0:7", "[::]:7"}) {
    const SocketAddress address = Of(text);
    EXPECT_TRUE(IsWildcardV6(address)) << text;
    EXPECT_EQ(address.port(), 7);
  }
  EXPECT_FALSE(IsWildcardV6(Of("[::1]:7")));
  EXPECT_FALSE(IsWildcardV6(WildcardV4(7)));
  EXPECT_EQ(WildcardV4(7).port(), 7);
}

TEST(SocketAddressTest, WhatIsNoAddress) {
  EXPECT_TRUE(absl::IsInvalidArgument(Resolve("nonsense").status()));
  EXPECT_TRUE(absl::IsNotFound(Resolve("name.invalid:1").status()));
}

}  // namespace
}  // namespace pixpool
