#pragma once

#include <string>
#include <string_view>

namespace pixpool {

// All that a client sends for grpc.health.v1.Health/Check of the service "": the preface of HTTP/2,
// empty settings, and one call.
std::string HealthCallBytes();

// Whether what the server sent so far holds a message of the answer. Throws nothing, whatever the
// bytes are.
bool HoldsAnswer(std::string_view received);

}  // namespace pixpool
