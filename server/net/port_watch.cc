#include "server/net/port_watch.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/net/health_call.h"

namespace pixpool {
namespace {

constexpr auto kStep = std::chrono::milliseconds(100);  // how soon a stop is seen
// An answer takes about a hundred; TLS before it as much as certificates and the names of those who
// sign clients' (tls/tls_check.cc).
constexpr size_t kMostBytes = 256 << 10;

}  // namespace

PortWatch::PortWatch(Options options)
    : options_(std::move(options)), ticker_("port-watch", options_.pause, [this] { Look(); }) {}

PortWatch::~PortWatch() { stop_ = true; }

absl::Status PortWatch::Check() const {
  const int64_t silent = silent_ms_;
  if (silent < options_.silence.count()) return absl::OkStatus();
  return absl::UnavailableError(Concat("has not answered for ", silent / 1000, " s"));
}

void PortWatch::Look() {
  if (unanswered_) Silent(options_.pause);
  unanswered_ = !Ask();
  options_.announce(0);
  if (!unanswered_) silent_ms_ = 0;
}

// Whether there came an answer, late or not.
bool PortWatch::Ask() {
  const SocketAddress& target = options_.target;
  const Descriptor socket(
      ::socket(target.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // Bound before it connects, so that its port is known to whoever accepts it.
  SocketAddress own = target;
  own.set_port(0);
  if (!socket.valid() || bind(socket.get(), own.get(), own.size) != 0 ||
      getsockname(socket.get(), own.get(), &own.size) != 0) {
    return false;
  }
  options_.announce(own.port());
  if (connect(socket.get(), target.get(), target.size) != 0 && errno != EINPROGRESS) return false;
  if (!WaitFor(socket, POLLOUT)) return false;
  const std::unique_ptr<ProbeWire> wire = options_.wire();
  if (!Send(socket, wire->Say(HealthCallBytes()))) return false;
  std::string heard;
  std::array<char, 1024> buffer;
  for (size_t received = 0; !HoldsAnswer(heard) && received < kMostBytes;) {
    if (!wire->good() || !WaitFor(socket, POLLIN)) return false;
    const ssize_t count = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return false;
    if (count < 0) continue;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
    received += bytes.size();
    if (!Send(socket, wire->Hear(bytes, &heard))) return false;
  }
  return HoldsAnswer(heard);
}

bool PortWatch::Send(const Descriptor& socket, std::string_view bytes) {
  return bytes.empty() || send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                              static_cast<ssize_t>(bytes.size());
}

bool PortWatch::WaitFor(const Descriptor& socket, short events) {
  for (auto waited = kStep - kStep; waited < options_.silence; waited += kStep) {
    pollfd wait = {.fd = socket.get(), .events = events, .revents = 0};
    if (poll(&wait, 1, static_cast<int>(kStep.count())) > 0) return true;
    Silent(kStep);
    if (stop_) return false;
  }
  return false;
}

}  // namespace pixpool
