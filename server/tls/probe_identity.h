#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/net/probe_wire.h"

namespace pixpool {

// By what the server's own probe (net/port_watch.h) comes in where clients need a certificate: a
// key and a certificate that are made at the start, that nobody else has ever seen, and that end
// with the process. Thread-safe.
class ProbeIdentity {
 public:
  static absl::StatusOr<std::unique_ptr<ProbeIdentity>> Make();
  virtual ~ProbeIdentity() = default;

  // Its certificate in PEM, to be taken as that of a client. It can sign no other.
  virtual const std::string& certificate() const = 0;

  // TLS of one connection, as its client. The other end is the process itself, so it is not asked
  // who it is. Must not outlive this.
  virtual std::unique_ptr<ProbeWire> NewWire() const = 0;
};

}  // namespace pixpool
