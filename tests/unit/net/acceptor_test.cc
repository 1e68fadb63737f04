#include "server/net/acceptor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/unit/net/sockets.h"

namespace pixpool {
namespace {

class AcceptorTest : public testing::Test {
 protected:
  void Start(ConnectionLimits::Numbers limits, Protocol protocol = Protocol::kHttp2) {
    auto listening = Listen("127.0.0.1:0");
    ASSERT_TRUE(listening.ok()) << listening.status();
    port_ = listening->port;
    std::vector<Acceptor::Door> doors;
    doors.push_back(
        {.listening = *std::move(listening), .protocol = protocol, .hand_over = Taking(&handed_)});
    if (!path_.empty()) {
      auto socket = Listen("unix:" + path_);
      ASSERT_TRUE(socket.ok()) << socket.status();
      doors.push_back({.listening = *std::move(socket), .hand_over = Taking(&by_path_)});
    }
    acceptor_ = StartAcceptor(std::move(doors),
                              {.limits = limits,
                               .refused =
                                   [this](ConnectionRefusal why) {
                                     absl::MutexLock lock(&mu_);
                                     ++refused_[why];
                                   }},
                              &clock_);
  }

  std::function<void(int)> Taking(std::vector<Descriptor>* list) {
    return [this, list](int fd) {
      absl::MutexLock lock(&mu_);
      list->push_back(Descriptor(fd));
    };
  }

  // Whether `count` connections in all were handed over within ten seconds, by TCP and by the path.
  bool WaitForHanded(size_t count) { return WaitFor(handed_, count); }
  bool WaitForByPath(size_t count) { return WaitFor(by_path_, count); }
  bool WaitFor(const std::vector<Descriptor>& list, size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&] { return list.size() >= count; };
    mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(10));
    return list.size() == count;
  }
  bool WaitForRefused(ConnectionRefusal why, int count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&] { return refused_[why] >= count; };
    mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(10));
    return refused_[why] == count;
  }
  // As the owner of what was handed over does it.
  void CloseHanded() {
    absl::MutexLock lock(&mu_);
    handed_.clear();
  }

  // One that may begin.
  Descriptor Good(const std::string& source = "127.0.0.1:0") {
    Descriptor client = Connect(port_, source);
    Send(client, kPreface);
    return client;
  }

  FakeClock clock_;
  absl::Mutex mu_;
  std::vector<Descriptor> handed_;
  std::vector<Descriptor> by_path_;
  std::string path_;  // of a Unix socket beside TCP; empty: none
  std::map<ConnectionRefusal, int> refused_;
  int port_ = 0;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, HandsOverWithThePrefaceStillToBeRead) {
  Start({.total = 4, .per_address = 4, .rate = 100});
  const Descriptor client = Connect(port_);
  for (const char c : kPreface) Send(client, std::string(1, c));
  ASSERT_TRUE(WaitForHanded(1));
  absl::MutexLock lock(&mu_);
  char bytes[100];
  EXPECT_EQ(recv(handed_[0].get(), bytes, sizeof(bytes), 0), static_cast<ssize_t>(kPreface.size()));
  EXPECT_TRUE(refused_.empty());
}

TEST_F(AcceptorTest, SilenceAndOtherProtocolsAreClosed) {
  Start({.total = 9, .per_address = 9, .rate = 100});
  const Descriptor other = Connect(port_);
  Send(other, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(IsClosed(other));
  const Descriptor silent = Connect(port_);
  const Descriptor half = Connect(port_);
  Send(half, kPreface.substr(0, 23));
  // Handed over, so both that came before it have been accepted.
  const Descriptor good = Good();
  ASSERT_TRUE(WaitForHanded(1));
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_TRUE(IsClosed(silent));
  EXPECT_TRUE(IsClosed(half));
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kNoPreface, 3));
}

// A record of TLS with a message of a handshake, as long as it says; the message says that it is
// `more` longer than what the record has of it.
std::string Record(char message, size_t length = 200, size_t more = 0) {
  const size_t said = length - 4 + more;
  std::string record = {22,      3, 1, static_cast<char>(length >> 8), static_cast<char>(length),
                        message, 0};
  record += {static_cast<char>(said >> 8), static_cast<char>(said)};
  return record.append(length - 4, 'x');
}
const std::string kHello = Record(1);

TEST_F(AcceptorTest, WhereTlsIsSpokenAWholeHelloIsHandedOverUnread) {
  Start({.total = 4, .per_address = 4, .rate = 100}, Protocol::kTls);
  const Descriptor client = Connect(port_);
  Send(client, kHello);
  ASSERT_TRUE(WaitForHanded(1));
  const Descriptor slow = Connect(port_);
  for (const char c : kHello) Send(slow, std::string(1, c));
  ASSERT_TRUE(WaitForHanded(2));
  const Descriptor large = Connect(port_);
  Send(large, Record(1, 1 << 14));
  ASSERT_TRUE(WaitForHanded(3));
  absl::MutexLock lock(&mu_);
  char bytes[1000];
  EXPECT_EQ(recv(handed_[0].get(), bytes, sizeof(bytes), 0), static_cast<ssize_t>(kHello.size()));
  EXPECT_TRUE(refused_.empty());
}

TEST_F(AcceptorTest, WhereTlsIsSpokenPlainTextIsClosedAndSoIsHalfAHello) {
  Start({.total = 20, .per_address = 20, .rate = 100}, Protocol::kTls);
  for (const std::string& other :
       {std::string(kPreface), std::string("GET / HTTP/1.1\r\n\r\n"), Record(2), Record(1, 200, 1),
        Record(1, 4, 60'000), std::string({22, 3, 1, 0, 0, 1, 0, 0, 0}),
        std::string({22, 3, 1, 64, 1, 1, 0, 0, 1}), std::string({22, 2, 0}),
        std::string({21, 3, 1, 0, 2, 1, 0})}) {
    const Descriptor client = Connect(port_);
    Send(client, other);
    EXPECT_TRUE(IsClosed(client)) << other;
  }
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kNoPreface, 9));
  const Descriptor silent = Connect(port_);
  const Descriptor half = Connect(port_);
  Send(half, kHello.substr(0, kHello.size() - 1));
  const Descriptor good = Connect(port_);
  Send(good, kHello);
  // Handed over, so all that came before it have been accepted.
  ASSERT_TRUE(WaitForHanded(1));
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_TRUE(IsClosed(silent));
  EXPECT_TRUE(IsClosed(half));
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kNoPreface, 11));
}

TEST_F(AcceptorTest, TheSilentMakeRoom) {
  Start({.total = 4, .per_address = 4, .rate = 1'000});
  std::vector<Descriptor> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(Connect(port_));
  std::vector<Descriptor> good;
  for (int i = 0; i < 4; ++i) good.push_back(Good());
  ASSERT_TRUE(WaitForHanded(4));
  for (const Descriptor& each : silent) EXPECT_TRUE(IsClosed(each));
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kNoPreface, 40));
}

TEST_F(AcceptorTest, OneTooManyIsClosedAtOnceAndThereIsRoomAgainAfterwards) {
  Start({.total = 2, .per_address = 2, .rate = 1'000});
  const Descriptor a = Good();
  const Descriptor b = Good();
  ASSERT_TRUE(WaitForHanded(2));
  EXPECT_TRUE(IsClosed(Good()));
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kFull, 1));
  CloseHanded();
  clock_.Advance(std::chrono::milliseconds(100));
  const Descriptor c = Good();
  EXPECT_TRUE(WaitForHanded(1));
}

TEST_F(AcceptorTest, OneAddressDoesNotTakeAll) {
  Start({.total = 3, .per_address = 2, .rate = 1'000});
  const Descriptor a = Good();
  const Descriptor b = Good();
  ASSERT_TRUE(WaitForHanded(2));
  EXPECT_TRUE(IsClosed(Good()));
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kAddress, 1));
  const Descriptor other = Good("127.0.0.2:0");
  EXPECT_TRUE(WaitForHanded(3));
}

TEST_F(AcceptorTest, TooManyANewSecondWaitTheirTurn) {
  Start({.total = 99, .per_address = 99, .rate = 1});
  std::vector<Descriptor> clients;
  for (int i = 0; i < 14; ++i) clients.push_back(Good());
  ASSERT_TRUE(WaitForHanded(10)) << "ten seconds' worth at once";
  const Descriptor other = Good("127.0.0.2:0");
  ASSERT_TRUE(WaitForHanded(11)) << "another address has a rate of its own";
  clock_.Advance(std::chrono::seconds(2));
  ASSERT_TRUE(WaitForHanded(13));
  clients.pop_back();  // gives up, and takes no turn
  clock_.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(WaitForHanded(14));
  EXPECT_TRUE(refused_.empty());
}

TEST_F(AcceptorTest, WhoseTurnNeverComesIsClosed) {
  Start({.total = 99, .per_address = 99, .rate = 1});
  std::vector<Descriptor> clients;
  for (int i = 0; i < 25; ++i) clients.push_back(Good());
  ASSERT_TRUE(WaitForHanded(10));
  const Descriptor silent = Connect(port_);
  const Descriptor other = Good("127.0.0.2:0");
  ASSERT_TRUE(WaitForHanded(11)) << "all before it have been accepted";
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kRate, 5));
  EXPECT_TRUE(WaitForHanded(21));
}

TEST_F(AcceptorTest, TheProbeComesInWhenNothingElseDoes) {
  Start({.total = 1, .per_address = 1, .rate = 1});
  const Descriptor a = Good();
  ASSERT_TRUE(WaitForHanded(1));
  Descriptor probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SocketAddress own = Loopback(0);
  ASSERT_EQ(bind(probe.get(), own.get(), own.size), 0);
  getsockname(probe.get(), own.get(), &own.size);
  acceptor_->ExpectProbe(own.port());
  const SocketAddress to = Loopback(port_);
  ASSERT_EQ(connect(probe.get(), to.get(), to.size), 0);
  Send(probe, kPreface);
  EXPECT_TRUE(WaitForHanded(2));
  EXPECT_TRUE(IsClosed(Good())) << "but nobody else";
}

TEST_F(AcceptorTest, WithoutDescriptorsItClosesAndGoesOn) {
  Start({.total = 1000, .per_address = 1000, .rate = 1000});
  std::vector<Descriptor> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Descriptor(socket(AF_INET, SOCK_STREAM, 0)));
  // From here on nothing more can be opened.
  std::vector<Descriptor> taken;
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit low = {.rlim_cur = 256, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (int fd = 0; (fd = dup(clients[0].get())) >= 0;) taken.push_back(Descriptor(fd));
  const SocketAddress to = Loopback(port_);
  for (const Descriptor& client : clients) {
    ASSERT_EQ(connect(client.get(), to.get(), to.size), 0);
    Send(client, kPreface);
    EXPECT_TRUE(IsClosed(client)) << "not left in the backlog";
  }
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kDescriptors, 3));
  taken.clear();
  const Descriptor good = Good();
  EXPECT_TRUE(WaitForHanded(1));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST_F(AcceptorTest, StopClosesWhatWaitsAndWhatListens) {
  Start({.total = 9, .per_address = 9, .rate = 100});
  const Descriptor good = Good();
  ASSERT_TRUE(WaitForHanded(1));
  const Descriptor silent = Connect(port_);
  acceptor_->Stop();
  EXPECT_TRUE(IsClosed(silent));
  EXPECT_FALSE(Connect(port_).valid());
  EXPECT_EQ(acceptor_->open(), 1) << "what was handed over is not its own to close";
}

TEST_F(AcceptorTest, AUnixSocketIsADoorOfItsOwn) {
  path_ = testing::TempDir() + "/acceptor." + std::to_string(getpid());
  Start({.total = 1, .per_address = 1, .rate = 100}, Protocol::kTls);
  const Descriptor tcp = Connect(port_);
  Send(tcp, kHello);
  ASSERT_TRUE(WaitForHanded(1));
  // There is no room, but for this process by the path: that is the own probe.
  EXPECT_TRUE(IsClosed(Connect(port_)));
  EXPECT_TRUE(WaitForRefused(ConnectionRefusal::kFull, 1));
  const Descriptor plain = ConnectPath(path_);
  Send(plain, kPreface);
  ASSERT_TRUE(WaitForByPath(1));
  const Descriptor hello = ConnectPath(path_);
  Send(hello, kHello);
  EXPECT_TRUE(IsClosed(hello)) << "no TLS is spoken there";
  acceptor_->Stop();
  EXPECT_NE(access(path_.c_str(), F_OK), 0) << "the file goes with the server";
}

}  // namespace
}  // namespace pixpool
