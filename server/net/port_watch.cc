#include "server/net/port_watch.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
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

bool Send(const Descriptor& socket, std::string_view bytes) {
  return bytes.empty() || send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                              static_cast<ssize_t>(bytes.size());
}

}  // namespace

PortWatch::PortWatch(Options options)
    : options_(std::move(options)),
      asked_(options_.targets.begin(), options_.targets.end()),
      ticker_("port-watch", options_.pause, [this] { Look(); }) {}

PortWatch::~PortWatch() { stop_ = true; }

absl::Status PortWatch::Check() const {
  for (const Asked& asked : asked_) {
    const int64_t silent = asked.silent_ms;
    if (silent < options_.silence.count()) continue;
    return absl::UnavailableError(
        Concat(asked.target.name, " has not answered for ", silent / 1000, " s"));
  }
  return absl::OkStatus();
}

void PortWatch::Look() {
  for (Asked& asked : asked_) {
    if (stop_) return;
    if (asked.unanswered) asked.Silent(options_.pause);
    asked.unanswered = !Ask(&asked);
    options_.announce(0);
    if (!asked.unanswered) asked.silent_ms = 0;
  }
}

// Whether there came an answer, late or not.
bool PortWatch::Ask(Asked* asked) {
  const SocketAddress& address = asked->target.address;
  const Descriptor socket(
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid() || !Connect(socket, address)) return false;
  if (!WaitFor(socket, POLLOUT, asked)) return false;
  const std::unique_ptr<ProbeWire> wire = asked->target.wire();
  if (!Send(socket, wire->Say(HealthCallBytes()))) return false;
  std::string heard;
  std::array<char, 1024> buffer;
  for (size_t received = 0; !HoldsAnswer(heard) && received < kMostBytes;) {
    if (!wire->good() || !WaitFor(socket, POLLIN, asked)) return false;
    const ssize_t count = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return false;
    if (count < 0) continue;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
    received += bytes.size();
    if (!Send(socket, wire->Hear(bytes, &heard))) return false;
  }
  return HoldsAnswer(heard);
}

// Begins to; false where it fails at once.
bool PortWatch::Connect(const Descriptor& socket, const SocketAddress& address) {
  if (!address.is_unix()) {
    // Bound before it connects, so that its port is known to whoever accepts it.
    SocketAddress own = address;
    own.set_port(0);
    if (bind(socket.get(), own.get(), own.size) != 0 ||
        getsockname(socket.get(), own.get(), &own.size) != 0) {
      return false;
    }
    options_.announce(own.port());
  }
  return connect(socket.get(), address.get(), address.size) == 0 || errno == EINPROGRESS;
}

bool PortWatch::WaitFor(const Descriptor& socket, short events, Asked* asked) {
  for (auto waited = kStep - kStep; waited < options_.silence; waited += kStep) {
    pollfd wait = {.fd = socket.get(), .events = events, .revents = 0};
    if (poll(&wait, 1, static_cast<int>(kStep.count())) > 0) return true;
    asked->Silent(kStep);
    if (stop_) return false;
  }
  return false;
}

}  // namespace pixpool
