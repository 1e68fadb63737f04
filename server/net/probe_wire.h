#pragma once

#include <string>
#include <string_view>

namespace pixpool {

// What lies between the words of one probe (port_watch.h) and the bytes of its connection: nothing
// here, TLS in server/tls. Not thread-safe.
class ProbeWire {
 public:
  virtual ~ProbeWire() = default;

  // Says `words`, now or as soon as the other end can take them. Returns the bytes to send; false
  // of `good` afterwards: it cannot be said.
  virtual std::string Say(std::string_view words) { return std::string(words); }

  // Takes bytes that came: appends the words in them to `heard`, and returns the bytes to send.
  virtual std::string Hear(std::string_view bytes, std::string* heard) {
    heard->append(bytes);
    return "";
  }

  // Whether the two still understand each other.
  virtual bool good() const { return true; }
};

}  // namespace pixpool
