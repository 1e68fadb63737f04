#include "server/net/descriptor.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

namespace pixpool {
namespace {

// A server without connections has about 40 descriptors, the HTTP port up to 64 connections.
constexpr int kReserve = 256;

}  // namespace

void Descriptor::Close() {
  if (const int fd = Release(); fd >= 0) close(fd);
}

int RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kFewestDescriptors;
  const rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int>::max()));
}

int ConnectionsWithin(int descriptors) {
  if (descriptors < kFewestDescriptors) return 0;
  return descriptors - std::min(kReserve, descriptors * 3 / 4);
}

}  // namespace pixpool
