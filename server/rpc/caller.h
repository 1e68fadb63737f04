// Whose a call is, among those who share the server fairly.
#pragma once

#include <string>
#include <string_view>

#include "grpcpp/server_context.h"

namespace pixpool {

// Most bytes of an identity that a header gives; the rest is not looked at.
inline constexpr size_t kMaxCallerBytes = 256;

// The host in gRPC's name of the other end: "ipv4:10.0.0.7:52100" gives "10.0.0.7",
// "ipv6:%5B2001:db8::1%5D:52100" gives "2001:db8::1", a socket of this machine "unix".
std::string CallerFromPeer(std::string_view peer);

// The value of the metadata entry `header` (lower case; empty: none is looked at) where the call
// has exactly one that is not empty, else its address. The two never equal each other.
std::string CallerOf(const grpc::ServerContextBase& context, const std::string& header);

}  // namespace pixpool
