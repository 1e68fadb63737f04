// Whose a call is, among those who share the server fairly.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "server/rpc/call.h"

namespace pixpool {

// Most bytes of an identity that a header gives; the rest is not looked at.
inline constexpr size_t kMaxCallerBytes = 256;

// The host in gRPC's name of the other end: "ipv4:10.0.0.7:52100" gives "10.0.0.7",
// "ipv6:%5B2001:db8::1%5D:52100" gives "2001:db8::1", a socket of this machine "unix".
std::string CallerFromPeer(std::string_view peer);

// What a call says of whose it is, in whatever protocol. Views into the call.
struct Introduction {
  std::string peer;                             // in gRPC's form, see CallerFromPeer
  std::vector<std::string_view> authorization;  // values of the header of that name
  std::vector<std::string_view> named;          // of `deps.caller_header`
};

Introduction IntroductionOf(const grpc::ServerContextBase& context, const CallDeps& deps);

// UNAUTHENTICATED unless the call has a token that is known, or needs none.
absl::Status CheckToken(const Introduction& call, const CallDeps& deps);

// The name of the call's token where calls need one, with what the token allows. Else the value of
// the metadata entry `deps.caller_header` (lower case; empty: none is looked at) where the call has
// exactly one that is not empty. Else its address, which the other two never equal.
Caller CallerOf(const Introduction& call, const CallDeps& deps);

}  // namespace pixpool
