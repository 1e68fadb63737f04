#include "server/net/listen.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "tests/unit/net/sockets.h"

namespace pixpool {
namespace {

TEST(ListenTest, ASecondOneOnThePortFails) {
  const auto first = Listen("127.0.0.1:0");
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_GT(first->port, 0);
  const auto second = Listen("127.0.0.1:" + std::to_string(first->port));
  EXPECT_EQ(second.status(), absl::UnavailableError("Address already in use"));
  EXPECT_EQ(Listen("203.0.113.7:0").status(),
            absl::UnavailableError("Cannot assign requested address"));
}

TEST(ListenTest, ThePortIsFreeAgainAtOnce) {
  auto first = Listen("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  const Descriptor client = Connect(first->port);
  {
    // Closed by the listening side, so that this side has TIME_WAIT.
    const Descriptor accepted(accept(first->sockets[0].get(), nullptr, nullptr));
    ASSERT_TRUE(accepted.valid());
  }
  ASSERT_TRUE(IsClosed(client));
  first->sockets.clear();
  EXPECT_TRUE(Listen("127.0.0.1:" + std::to_string(first->port)).ok());
}

TEST(ListenTest, TheWildcardTakesIpv4) {
  const auto listening = Listen("[::]:0");
  ASSERT_TRUE(listening.ok()) << listening.status();
  EXPECT_TRUE(Connect(listening->port).valid());
  const SocketAddress probe = ProbeAddress(*listening);
  EXPECT_EQ(probe.port(), listening->port);
  EXPECT_EQ(probe.storage.ss_family, AF_INET);
}

TEST(ListenTest, EachAddressOfANameHasTheSamePort) {
  const auto listening = Listen("localhost:0");
  ASSERT_TRUE(listening.ok()) << listening.status();
  for (const Descriptor& socket : listening->sockets) {
    SocketAddress address;
    getsockname(socket.get(), address.get(), &address.size);
    EXPECT_EQ(address.port(), listening->port);
  }
}

TEST(ListenTest, WhatIsAcceptedSendsAtOnceAndStaysInThisProcess) {
  const auto listening = Listen("127.0.0.1:0");
  ASSERT_TRUE(listening.ok());
  const int listener = listening->sockets[0].get();
  EXPECT_NE(fcntl(listener, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(fcntl(listener, F_GETFL) & O_NONBLOCK, 0);
  const Descriptor client = Connect(listening->port);
  const Descriptor accepted(accept(listener, nullptr, nullptr));
  int no_delay = 0;
  socklen_t size = sizeof(no_delay);
  ASSERT_EQ(getsockopt(accepted.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
  EXPECT_EQ(no_delay, 1);
}

TEST(ListenTest, SaysWhereItListens) {
  const auto tcp = Listen("127.0.0.1:0");
  ASSERT_TRUE(tcp.ok());
  EXPECT_EQ(tcp->text, "127.0.0.1:" + std::to_string(tcp->port));
  EXPECT_TRUE(OnLoopback(*tcp));
}

}  // namespace
}  // namespace pixpool
