#include "server/rest/server.h"

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <cstring>
#include <future>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/clock.h"
#include "server/base/listen_address.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/net/connection_limits.h"
#include "server/net/descriptor.h"
#include "server/net/listen.h"
#include "server/rest/options.h"
#include "server/rest/session.h"
#include "server/rest/tls_context.h"
#include "server/rest/wire.h"
#include "server/rpc/guard.h"
#include "server/tls/options.h"

namespace pixpool::rest {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

// Most connections at a time: fewer than descriptors that are to spare.
constexpr int kMostConnections = 1024;
constexpr auto kAcceptRetryTime = std::chrono::milliseconds(100);

ConnectionLimits::Numbers NumbersOf(int rate) {
  const int total = std::clamp(ConnectionsWithin(RaiseDescriptorLimit()) / 8, 1, kMostConnections);
  return {.total = total, .per_address = total - total / 8, .rate = rate};
}

SocketAddress AddressOf(const tcp::endpoint& endpoint) {
  SocketAddress address;
  address.size = static_cast<socklen_t>(endpoint.size());
  std::memcpy(&address.storage, endpoint.data(), endpoint.size());
  return address;
}

// As gRPC names the other end.
std::string PeerOf(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  if (endpoint.address().is_v4()) return Concat("ipv4:", host, ":", endpoint.port());
  return Concat("ipv6:[", host, "]:", endpoint.port());
}

class ServerImpl final : public Server {
 public:
  ServerImpl(const ServerOptions& options, const DoorDeps& deps)
      : options_(options),
        shared_{.deps = deps, .max_age = options.max_connection_age, .drains = false},
        limits_(NumbersOf(options.connection_rate)),
        strand_(asio::make_strand(io_)) {
    if (options.tls != nullptr) tls_.emplace(options.tls);
  }

  ~ServerImpl() override {
    Shutdown(absl::ZeroDuration());
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  absl::Status Start() {
    const auto where = ParseListenAddress(options_.listen);
    absl::StatusOr<Listening> listening =
        where ? ListenOn(*where, 0) : absl::InvalidArgumentError("it is not host:port");
    if (!listening.ok()) {
      return absl::UnavailableError(Concat("cannot listen on ", options_.listen, " (",
                                           RestOptions::kListen.flag,
                                           "): ", ToStd(listening.status().message())));
    }
    address_ = listening->text;
    WarnOfPlainText(*listening);
    for (Descriptor& socket : listening->sockets) {
      sockaddr_storage bound = {};
      socklen_t size = sizeof(bound);
      getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size);
      const tcp protocol = bound.ss_family == AF_INET6 ? tcp::v6() : tcp::v4();
      doors_.emplace_back(strand_, protocol, socket.Release());
    }
    for (Door& door : doors_) asio::dispatch(strand_, [this, &door] { Accept(&door); });
    for (int i = 0; i < options_.threads; ++i) {
      threads_.emplace_back([this] {
        SetThreadName("rest");
        // What a handler throws is logged, and the others go on.
        while (!Guard([this] { io_.run(); }).ok()) continue;
      });
    }
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  void BeginDrain() override {
    shared_.drains = true;
    for (const auto& session : Sessions()) session->Finish();
  }

  void Shutdown(absl::Duration grace) override {
    if (threads_.empty()) return;  // it did not start
    std::promise<void> closed;
    asio::dispatch(strand_, [this, &closed] {
      stopped_ = true;
      boost::system::error_code ignored;
      for (Door& door : doors_) {
        door.acceptor.close(ignored);
        door.retry.cancel();
      }
      closed.set_value();
    });
    closed.get_future().wait();  // from here on no session begins
    BeginDrain();
    if (AwaitNone(grace)) return;
    for (const auto& session : Sessions()) session->Abort();
    AwaitNone(absl::InfiniteDuration());
  }

 private:
  using Strand = asio::strand<asio::io_context::executor_type>;
  using Place = std::list<std::weak_ptr<Session>>::iterator;

  struct Door {
    Door(const Strand& strand, const tcp& protocol, int fd)
        : acceptor(strand, protocol, fd), retry(strand) {}
    tcp::acceptor acceptor;
    asio::steady_timer retry;
  };

  void WarnOfPlainText(const Listening& listening) const {
    if (tls_ || OnLoopback(listening)) return;
    Log(LogLevel::kWarning, "plain_text",
        {{"address", address_},
         {"message",
          Concat("pictures cross the network as they are; set ", TlsOptions::kCertificate.flag,
                 " and ", TlsOptions::kKey.flag, ", or have an edge in front end TLS")}});
  }

  void Accept(Door* door) {
    if (stopped_) return;
    door->acceptor.async_accept(
        asio::make_strand(io_), [this, door](boost::system::error_code error, tcp::socket socket) {
          if (stopped_) return;
          if (!error) {
            // Without memory the connection is closed, and the next may find some.
            Guard([&] { Begin(std::move(socket)); }).IgnoreError();
            return Accept(door);
          }
          // Out of descriptors, most likely: trying again at once would spin.
          door->retry.expires_after(kAcceptRetryTime);
          door->retry.async_wait([this, door](boost::system::error_code stopped) {
            if (!stopped) Accept(door);
          });
        });
  }

  // On the strand of the doors.
  void Begin(tcp::socket socket) {
    boost::system::error_code error;
    const tcp::endpoint peer = socket.remote_endpoint(error);
    if (error) return;
    const PeerKey key = PeerKeyOf(AddressOf(peer));
    std::shared_ptr<asio::ssl::context> context;
    if (tls_ && (context = tls_->Current()) == nullptr) return;
    Place at;
    {
      absl::MutexLock lock(&mu_);
      at = sessions_.emplace(sessions_.end());
      if (const auto why = Refusal(key)) {
        sessions_.erase(at);
        return shared_.deps.call.metrics->ConnectionRefused(*why);
      }
    }
    std::shared_ptr<void> place(nullptr, [this, at, key](void*) { Gone(at, key); });
    auto wire =
        context != nullptr ? TlsWire(std::move(socket), context) : PlainWire(std::move(socket));
    const auto session =
        std::make_shared<Session>(&shared_, std::move(wire), PeerOf(peer), std::move(place));
    {
      absl::MutexLock lock(&mu_);
      *at = session;
    }
    session->Start();
  }

  // Why a connection may not begin; else it is counted.
  std::optional<ConnectionRefusal> Refusal(PeerKey key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const TimePoint now = shared_.deps.call.clock->Now();
    limits_.ForgetIdle(now);
    switch (limits_.RoomFor(key)) {
      case ConnectionLimits::Room::kFull:
        return ConnectionRefusal::kFull;
      case ConnectionLimits::Room::kAddressFull:
        return ConnectionRefusal::kAddress;
      case ConnectionLimits::Room::kYes:
        break;
    }
    limits_.Opened(key);
    if (limits_.MayBegin(key, now)) return std::nullopt;
    limits_.Closed(key);
    return ConnectionRefusal::kRate;
  }

  void Gone(Place place, PeerKey key) {
    absl::MutexLock lock(&mu_);
    limits_.Closed(key);
    sessions_.erase(place);
  }

  std::vector<std::shared_ptr<Session>> Sessions() {
    std::vector<std::shared_ptr<Session>> sessions;
    absl::MutexLock lock(&mu_);
    for (const auto& session : sessions_) {
      if (auto kept = session.lock()) sessions.push_back(std::move(kept));
    }
    return sessions;
  }

  bool AwaitNone(absl::Duration most) {
    const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return sessions_.empty(); };
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&none), most);
  }

  const ServerOptions options_;
  Shared shared_;
  std::string address_;

  absl::Mutex mu_;
  ConnectionLimits limits_ ABSL_GUARDED_BY(mu_);
  std::list<std::weak_ptr<Session>> sessions_ ABSL_GUARDED_BY(mu_);

  asio::io_context io_;
  // Sessions that wait for the pipeline have nothing here meanwhile.
  const asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  // Of the strand.
  Strand strand_;
  std::optional<TlsContexts> tls_;
  std::list<Door> doors_;
  bool stopped_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerOptions& options,
                                                    const DoorDeps& deps) {
  auto server = std::make_unique<ServerImpl>(options, deps);
  PIXPOOL_RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace pixpool::rest
