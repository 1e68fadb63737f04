#include "server/net/port_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "server/net/listen.h"
#include "tests/unit/net/sockets.h"

namespace pixpool {
namespace {

using std::chrono::milliseconds;

// Runs Check again and again for up to ten seconds until it says what is wanted.
bool Becomes(const PortWatch& watch, bool ok) {
  for (int i = 0; i < 1'000; ++i) {
    if (watch.Check().ok() == ok) return true;
    poll(nullptr, 0, 10);
  }
  return false;
}

class PortWatchTest : public testing::Test {
 protected:
  PortWatchTest() : listening_(*Listen("127.0.0.1:0")) {}

  std::unique_ptr<PortWatch> Start(std::function<std::unique_ptr<ProbeWire>()> wire = [] {
    return std::make_unique<ProbeWire>();
  }) {
    std::vector<PortWatch::Target> targets = {{Loopback(listening_.port), "tcp", std::move(wire)}};
    if (!path_.empty()) targets.push_back({UnixAddress(path_), "unix:" + path_});
    return std::make_unique<PortWatch>(PortWatch::Options{.targets = std::move(targets),
                                                          .announce = [this](int p) { from_ = p; },
                                                          .pause = milliseconds(10),
                                                          .silence = milliseconds(300)});
  }
  // Answers the connections that come, each with `bytes`, until `stop_`.
  void Answer(std::string_view bytes) { Answer(bytes, listening_); }
  void Answer(std::string_view bytes, const Listening& listening) {
    const int listener = listening.sockets[0].get();
    while (!stop_) {
      pollfd wait = {.fd = listener, .events = POLLIN, .revents = 0};
      if (poll(&wait, 1, 20) <= 0) continue;
      SocketAddress peer;
      const Descriptor client(accept(listener, peer.get(), &peer.size));
      if (!client.valid()) continue;
      announced_ = announced_ || peer.port() == from_;
      Send(client, bytes);
      char byte = 0;
      while (recv(client.get(), &byte, 1, 0) > 0) {
      }
    }
  }

  Listening listening_;
  std::string path_;  // of a Unix socket beside it; empty: none
  std::atomic<int> from_{0};
  std::atomic<bool> announced_{false};
  std::atomic<bool> stop_{false};
};

constexpr std::string_view kAnswer("\0\0\1\0\0\0\0\0\1m", 10);

TEST_F(PortWatchTest, ADeafPortIsSeenAndSoIsItsRecovery) {
  const auto watch = Start();
  EXPECT_TRUE(watch->Check().ok()) << "not yet asked for long enough";
  EXPECT_TRUE(Becomes(*watch, false)) << "the kernel connects, but nobody answers";
  std::thread server([this] { Answer(kAnswer); });
  EXPECT_TRUE(Becomes(*watch, true));
  EXPECT_TRUE(announced_);
  stop_ = true;
  server.join();
}

TEST_F(PortWatchTest, AnAnswerMayComeAfterMuchElse) {
  // As TLS sends the names of those who sign clients' certificates.
  std::string much;
  for (int i = 0; i < 10; ++i) {
    much += std::string("\0\x3f\xf7\4\0\0\0\0\0", 9) + std::string(16'375, 'x');
  }
  const auto watch = Start();
  EXPECT_TRUE(Becomes(*watch, false));
  std::thread server([&] { Answer(much + std::string(kAnswer)); });
  EXPECT_TRUE(Becomes(*watch, true));
  stop_ = true;
  server.join();
}

TEST_F(PortWatchTest, OtherBytesAreNoAnswer) {
  std::thread server([this] { Answer("HTTP/1.1 200 OK\r\n\r\n"); });
  const auto watch = Start();
  EXPECT_TRUE(Becomes(*watch, false));
  stop_ = true;
  server.join();
}

// Says everything backwards.
class Backwards final : public ProbeWire {
 public:
  std::string Say(std::string_view words) override { return {words.rbegin(), words.rend()}; }
  std::string Hear(std::string_view bytes, std::string* heard) override {
    heard->append(bytes.rbegin(), bytes.rend());
    return "";
  }
};

TEST_F(PortWatchTest, SpeaksByItsWire) {
  const auto watch = Start([] { return std::make_unique<Backwards>(); });
  EXPECT_TRUE(Becomes(*watch, false));
  const std::string answer(kAnswer.rbegin(), kAnswer.rend());
  std::thread server([&] { Answer(answer); });
  EXPECT_TRUE(Becomes(*watch, true));
  stop_ = true;
  server.join();
}

// Understands nothing.
class Deaf final : public ProbeWire {
 public:
  bool good() const override { return false; }
};

TEST_F(PortWatchTest, WhatIsNotUnderstoodIsNoAnswer) {
  std::thread server([this] { Answer(kAnswer); });
  const auto watch = Start([] { return std::make_unique<Deaf>(); });
  EXPECT_TRUE(Becomes(*watch, false));
  stop_ = true;
  server.join();
}

TEST_F(PortWatchTest, AClosedPortIsDeafToo) {
  listening_.sockets.clear();
  const auto watch = Start();
  EXPECT_TRUE(Becomes(*watch, false));
  EXPECT_EQ(watch->Check(), absl::UnavailableError("tcp has not answered for 0 s"));
}

TEST_F(PortWatchTest, EachPlaceIsAsked) {
  path_ = testing::TempDir() + "/port_watch." + std::to_string(getpid());
  std::thread tcp([this] { Answer(kAnswer); });
  const auto watch = Start();
  EXPECT_TRUE(Becomes(*watch, false));
  EXPECT_EQ(watch->Check(), absl::UnavailableError("unix:" + path_ + " has not answered for 0 s"));
  const auto socket = Listen("unix:" + path_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  std::thread by_path([&] { Answer(kAnswer, *socket); });
  EXPECT_TRUE(Becomes(*watch, true));
  stop_ = true;
  tcp.join();
  by_path.join();
}

}  // namespace
}  // namespace pixpool
