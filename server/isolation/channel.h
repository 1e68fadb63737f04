// The messages between the server and a worker, and how a worker is started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pixpool {

// A worker's descriptors; it has no others but 0 to 2, which are /dev/null.
inline constexpr int kChannel = 3;
inline constexpr int kMemory = 4;

// No message is longer, whatever is in it.
inline constexpr size_t kMaxMessage = 64 << 10;

// What stands before each task.
struct TaskPrefix {
  uint64_t memory_size = 0;  // of the shared memory now
};

// The first message of a worker, once it can do no more than decode.
struct Hello {
  char version[32] = {};   // of the program: kVersion
  int64_t data_bytes = 0;  // what it has taken of RLIMIT_DATA so far
  int32_t filtered = 0;    // whether its system calls are
  char refusal[128] = {};  // where they are not: why
};

// What the server tells a worker on its command line.
struct WorkerArguments {
  int parent = 0;      // the server's process
  int64_t memory = 0;  // what all may use, for the allocator
};
inline constexpr char kParentFlag[] = "--parent=";
inline constexpr char kMemoryFlag[] = "--memory=";

// Whether it was sent. The other end may be gone.
bool SendMessage(int fd, std::string_view message);

enum class Received { kMessage, kNothingYet, kClosed };
// The next message. kNothingYet after the descriptor's SO_RCVTIMEO.
Received ReceiveMessage(int fd, std::string* message);

}  // namespace pixpool
