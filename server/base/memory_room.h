// How much memory the process may use, as an option, and what it says where that is too little.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/base/option.h"

namespace pixpool {

struct MemoryLimit {
  // MemoryOf resolves 0.
  static constexpr OptionSpec kMaxMemory = {
      .group = kAdmissionGroup,
      .place = 6,
      .flag = "--max-memory",
      .value_name = "BYTES",
      .help =
          "Memory of the process, which bounds network passes and what is in flight; 0 takes the "
          "limit of the container, else that of the machine.",
      .kind = OptionKind::kBytes,
      .initial = 0,
      .min = 0,
      .max = int64_t{64} << 40,
  };
  Option<int64_t, kMaxMemory> max_memory;
};

// Bytes that the process may use; 0 where nobody says.
int64_t MemoryOf(const MemoryLimit& limit);

// What requests need at the least, in all.
inline constexpr int64_t kLeastForRequests = 64 << 20;

// Whether what is resident, and `more`, fit into `memory` bytes; all fits where that is 0.
bool MemoryHas(int64_t memory, int64_t more);

// "31 MiB", rounded up.
std::string MebibytesText(int64_t bytes);

// FAILED_PRECONDITION: of `memory` bytes the models take `models`, and `who` need `more` beside
// them. It names what would do, which is `least` and a little for what differs from start to start.
absl::Status MemoryTooLittle(int64_t memory, int64_t models, std::string_view who, int64_t more,
                             int64_t least);

}  // namespace pixpool
