#include "server/isolation/spawn.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "server/base/text.h"
#include "server/isolation/channel.h"
#include "server/isolation/sanitized.h"

extern char** environ;

namespace pixpool {
namespace {

// Above every number that a worker's descriptors have, so that none is overwritten before it is
// copied.
constexpr int kAbove = 10;

// Where libraries are found, and how sanitizers behave: whatever else the server was told is none
// of a worker's business.
std::vector<char*> WorkerEnvironment() {
  std::vector<char*> kept;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view entry(*e);
    const std::string_view name = entry.substr(0, entry.find('='));
    if (name == "LD_LIBRARY_PATH" || name.ends_with("SAN_OPTIONS")) kept.push_back(*e);
  }
  // Libraries that would start a thread for each core as they are loaded.
  static char blas[] = "OPENBLAS_NUM_THREADS=1";
  kept.push_back(blas);
  kept.push_back(nullptr);
  return kept;
}

// posix_spawn's settings. A step that fails makes the next fail.
class Settings {
 public:
  Settings(int channel, int shared) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions_, STDIN_FILENO, STDOUT_FILENO);
    // Sanitizers report there.
    if (!kSanitized) posix_spawn_file_actions_adddup2(&actions_, STDIN_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, channel, kChannel);
    posix_spawn_file_actions_adddup2(&actions_, shared, kMemory);
    posix_spawn_file_actions_addclosefrom_np(&actions_, kMemory + 1);
    // The signals of a terminal or of a service manager are the server's, which drains; what kills
    // for a fault does so all the same.
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  ~Settings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

absl::Status Failed(std::string_view what, int error) {
  return absl::UnavailableError(Concat(what, ": ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<SpawnedWorker> SpawnWorker(const std::string& program, int64_t memory, int shared) {
  std::array<int, 2> ends = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Failed("socketpair", errno);
  }
  std::array<int, 2> given = {fcntl(ends[1], F_DUPFD_CLOEXEC, kAbove),
                              fcntl(shared, F_DUPFD_CLOEXEC, kAbove)};
  const int error = errno;
  close(ends[1]);
  const absl::Cleanup close_given = [&given] {
    for (const int fd : given) {
      if (fd >= 0) close(fd);
    }
  };
  if (given[0] < 0 || given[1] < 0) {
    close(ends[0]);
    return Failed("descriptors", error);
  }
  const Settings settings(given[0], given[1]);
  std::string name = program;
  std::string parent = Concat(kParentFlag, getpid());
  std::string bytes = Concat(kMemoryFlag, memory);
  char* arguments[] = {name.data(), parent.data(), bytes.data(), nullptr};
  SpawnedWorker worker{.channel = ends[0]};
  const int failed = posix_spawn(&worker.pid, program.c_str(), settings.actions(),
                                 settings.attributes(), arguments, WorkerEnvironment().data());
  if (failed == 0) return worker;
  close(ends[0]);
  return Failed(program, failed);
}

std::string WorkerProgram() {
  std::array<char, PATH_MAX> path;
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) return "";
  const std::string_view own(path.data(), static_cast<size_t>(size));
  return Concat(own.substr(0, own.rfind('/') + 1), "pixpool-decode-worker");
}

}  // namespace pixpool
