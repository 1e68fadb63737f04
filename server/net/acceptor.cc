#include "server/net/acceptor.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "server/base/thread_pool.h"
#include "server/net/connection_table.h"

namespace pixpool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kFirstBytesTime = seconds(10);
constexpr auto kSweepTime = seconds(1);
constexpr auto kSweepTimeWhenFull = milliseconds(100);
// How often those that are held back by the rate are looked at, and how long nothing is accepted
// after it failed for want of memory or descriptors.
constexpr auto kRipeTime = milliseconds(10);
constexpr auto kPause = milliseconds(50);
constexpr int kAcceptsInTurn = 64;  // before those that wait have their turn

// Tells the other end at once, and leaves no TIME_WAIT behind.
void Reset(Descriptor socket) {
  const linger none = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

Descriptor Checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return Descriptor(fd);
}

Descriptor OpenReserve() { return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

class EpollAcceptor final : public Acceptor {
 public:
  EpollAcceptor(std::vector<Door> doors, Options options, const Clock* clock)
      : options_(std::move(options)),
        clock_(clock),
        doors_(std::move(doors)),
        epoll_(Checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        wake_(Checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
        reserve_(OpenReserve()),
        limits_(options_.limits),
        table_([this](PeerKey peer) { limits_.Closed(peer); }) {
    Watch(wake_, EPOLLIN);
    WatchDoors(EPOLLIN, EPOLL_CTL_ADD);
    thread_ = std::thread([this] {
      SetThreadName("accept");
      while (!stop_) Turn();
    });
  }

  ~EpollAcceptor() override { Stop(); }

  void Stop() override {
    if (!thread_.joinable()) return;
    stop_ = true;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
    thread_.join();
    for (Door& door : doors_) door.listening = Listening();
    while (const auto place = waiting_.Oldest()) Take(*place);
    open_ = limits_.open();
  }

  int open() const override { return open_; }

  void ExpectProbe(int from_port) override { probe_port_ = from_port; }

 private:
  void Watch(const Descriptor& socket, uint32_t events, int operation = EPOLL_CTL_ADD) {
    epoll_event event = {.events = events, .data = {.fd = socket.get()}};
    epoll_ctl(epoll_.get(), operation, socket.get(), &event);
  }

  void WatchDoors(uint32_t events, int operation) {
    for (const Door& door : doors_) {
      for (const Descriptor& socket : door.listening.sockets) Watch(socket, events, operation);
    }
  }

  // Waits for something to do, and does it.
  void Turn() {
    std::array<epoll_event, 256> events;
    const auto wait =
        std::chrono::duration_cast<milliseconds>(paused_ || waiting_.ripe() > 0 ? kRipeTime
                                                 : waiting_.list().empty()      ? kSweepTime
                                                                                : seconds(1) / 4);
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 static_cast<int>(wait.count()));
    now_ = clock_->Now();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      if (const auto place = waiting_.Find(event.data.fd)) OnBytes(*place, event.events);
    }
    if (paused_ && now_ >= *paused_) Pause(false);
    if (!paused_ && !stop_) {
      for (size_t door = 0; door < doors_.size(); ++door) {
        for (const Descriptor& socket : doors_[door].listening.sockets) AcceptFrom(socket, door);
      }
    }
    if (waiting_.ripe() > 0 && now_ >= next_ripe_) BeginRipe();
    while (const auto place = waiting_.Oldest()) {
      if (now_ - (*place)->since < kFirstBytesTime) break;
      Refuse(*place, (*place)->ripe ? ConnectionRefusal::kRate : ConnectionRefusal::kNoPreface);
    }
    if (now_ >= last_sweep_ + kSweepTime) Sweep();
    open_ = limits_.open();
  }

  void AcceptFrom(const Descriptor& listener, size_t door) {
    for (int i = 0; i < kAcceptsInTurn; ++i) {
      SocketAddress peer;
      Descriptor socket(
          accept4(listener.get(), peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.valid()) {
        now_ = clock_->Now();  // it came after the turn began
        OnAccepted(std::move(socket), peer, door);
      } else if (errno == EAGAIN) {
        return;
      } else if (errno == EMFILE || errno == ENFILE) {
        if (!RefuseWithReserve(listener)) return;
      } else if (errno == ENOBUFS || errno == ENOMEM) {
        return Pause(true);
      }  // anything else is over with this one connection
    }
  }

  // Takes one out of the backlog and closes it. Whether there may be more. The kernel says that it
  // has no descriptor before it looks whether anybody is there.
  bool RefuseWithReserve(const Descriptor& listener) {
    reserve_.Close();
    Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const bool taken = socket.valid();
    if (taken) options_.refused(ConnectionRefusal::kDescriptors);
    const bool none_there = !taken && errno == EAGAIN;
    Reset(std::move(socket));
    reserve_ = OpenReserve();
    if (!reserve_.valid() || (!taken && !none_there)) Pause(true);
    return taken && reserve_.valid();
  }

  // Stops accepting for a while, or goes on.
  void Pause(bool pause) {
    WatchDoors(pause ? 0U : EPOLLIN, EPOLL_CTL_MOD);
    paused_.reset();
    if (pause) paused_ = now_ + kPause;
    if (!pause && !reserve_.valid()) reserve_ = OpenReserve();
  }

  void OnAccepted(Descriptor socket, const SocketAddress& address, size_t door) {
    std::optional<PeerKey> peer;
    if (!IsProbe(socket, address)) {
      peer = PeerKeyOf(address);
      if (const auto refusal = MakeRoom(*peer)) {
        Reset(std::move(socket));
        return options_.refused(*refusal);
      }
      limits_.Opened(*peer);
    }
    const auto place = waiting_.Add({std::move(socket), peer, now_, door});
    Watch(place->socket, EPOLLIN | EPOLLRDHUP | EPOLLET);
    OnBytes(place, 0);
  }

  bool IsProbe(const Descriptor& socket, const SocketAddress& peer) const {
    if (peer.is_unix()) return IsFromThisProcess(socket);
    if (const int port = probe_port_; port == 0 || peer.port() != port) return false;
    SocketAddress own;
    getsockname(socket.get(), own.get(), &own.size);
    return SameHost(own, peer);
  }

  // Why there is none, if there is none.
  std::optional<ConnectionRefusal> MakeRoom(PeerKey peer) {
    using Room = ConnectionLimits::Room;
    Room room = limits_.RoomFor(peer);
    if (room != Room::kYes && now_ >= last_sweep_ + kSweepTimeWhenFull) {
      Sweep();
      room = limits_.RoomFor(peer);
    }
    if (room == Room::kYes) return std::nullopt;
    const bool full = room == Room::kFull;
    const auto silent = waiting_.OldestSilent(full ? std::nullopt : std::optional(peer));
    if (!silent) return full ? ConnectionRefusal::kFull : ConnectionRefusal::kAddress;
    Refuse(*silent, ConnectionRefusal::kNoPreface);
    return std::nullopt;
  }

  void OnBytes(WaitingConnections::Place place, uint32_t events) {
    const FirstBytes first = PeekFirstBytes(place->socket.get(), doors_[place->door].protocol);
    if (first == FirstBytes::kClosed || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      Take(place);  // no client goes on after its end of file
    } else if (first == FirstBytes::kOther) {
      Refuse(place, ConnectionRefusal::kNoPreface);
    } else if (first == FirstBytes::kGood && !place->ripe) {
      // Those of its address that are held back go first.
      const bool held_back = place->peer && waiting_.HasRipe(*place->peer);
      waiting_.MarkRipe(place);
      if (!held_back) Begin(place);
    }
  }

  // Hands it over, if its address may begin one now.
  void Begin(WaitingConnections::Place place) {
    if (place->peer && !limits_.MayBegin(*place->peer, now_)) return;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, place->socket.get(), nullptr);
    WaitingConnection connection = waiting_.Take(place);
    table_.Add(connection.socket.get(), connection.peer);
    doors_[connection.door].hand_over(connection.socket.Release());
  }

  void BeginRipe() {
    next_ripe_ = now_ + kRipeTime;
    for (auto place = waiting_.list().begin(); place != waiting_.list().end();) {
      const auto each = place++;
      if (each->ripe) Begin(each);
    }
  }

  // Out of those that wait, and no longer counted.
  WaitingConnection Take(WaitingConnections::Place place) {
    WaitingConnection connection = waiting_.Take(place);
    if (connection.peer) limits_.Closed(*connection.peer);
    return connection;
  }

  void Refuse(WaitingConnections::Place place, ConnectionRefusal reason) {
    Reset(Take(place).socket);
    options_.refused(reason);
  }

  void Sweep() {
    last_sweep_ = now_;
    table_.Sweep();
    limits_.ForgetIdle(now_);
  }

  const Options options_;
  const Clock* const clock_;
  std::atomic<bool> stop_{false};
  std::atomic<int> open_{0};
  std::atomic<int> probe_port_{0};

  // Of the thread, and of Stop after it.
  std::vector<Door> doors_;
  Descriptor epoll_;
  Descriptor wake_;
  Descriptor reserve_;
  ConnectionLimits limits_;
  ConnectionTable table_;
  WaitingConnections waiting_;
  TimePoint now_;
  TimePoint last_sweep_;
  TimePoint next_ripe_;
  std::optional<TimePoint> paused_;  // until then nothing is accepted

  std::thread thread_;
};

}  // namespace

std::unique_ptr<Acceptor> StartAcceptor(std::vector<Acceptor::Door> doors,
                                        Acceptor::Options options, const Clock* clock) {
  return std::make_unique<EpollAcceptor>(std::move(doors), std::move(options), clock);
}

}  // namespace pixpool
