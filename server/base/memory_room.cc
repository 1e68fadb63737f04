#include "server/base/memory_room.h"

#include "server/base/memory_limit.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr int64_t kMebibyte = 1 << 20;
// Of what is named, for what differs from start to start.
constexpr int64_t kMarginShare = 32;

}  // namespace

int64_t MemoryOf(const MemoryLimit& limit) {
  return limit.max_memory > 0 ? limit.max_memory.value() : AvailableMemoryBytes();
}

bool MemoryHas(int64_t memory, int64_t more) {
  return memory == 0 || ResidentBytes() + more <= memory;
}

std::string MebibytesText(int64_t bytes) {
  return Concat((bytes + kMebibyte - 1) / kMebibyte, " MiB");
}

absl::Status MemoryTooLittle(int64_t memory, int64_t models, std::string_view who, int64_t more,
                             int64_t least) {
  return absl::FailedPreconditionError(
      Concat("the models take ", MebibytesText(models), " of memory and ", who, " need ",
             MebibytesText(more), " more, but there are only ", MebibytesText(memory), " (",
             MemoryLimit::kMaxMemory.flag, ", or the limit of the container or machine); ",
             MebibytesText(least + least / kMarginShare), " would do"));
}

}  // namespace pixpool
