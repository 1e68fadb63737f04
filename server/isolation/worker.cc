#include "server/isolation/worker.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/base/memory.h"
#include "server/base/version.h"
#include "server/isolation/channel.h"
#include "server/isolation/sanitized.h"
#include "server/isolation/syscall_filter.h"

namespace pixpool {
namespace {

std::optional<WorkerArguments> ReadArguments(int argc, char** argv) {
  WorkerArguments read;
  if (argc != 3) return std::nullopt;
  absl::string_view parent = argv[1];
  absl::string_view memory = argv[2];
  if (!absl::ConsumePrefix(&parent, kParentFlag) || !absl::SimpleAtoi(parent, &read.parent) ||
      !absl::ConsumePrefix(&memory, kMemoryFlag) || !absl::SimpleAtoi(memory, &read.memory)) {
    return std::nullopt;
  }
  struct stat channel = {};
  if (fstat(kChannel, &channel) != 0 || !S_ISSOCK(channel.st_mode)) return std::nullopt;
  return read;
}

// Ends with the server, however that ends. Whether it still runs.
bool FollowServer(int parent) {
  return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

void Limit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit = {.rlim_cur = value, .rlim_max = value};
  setrlimit(resource, &limit);
}

// What holds where there is no filter of system calls too: no core file, no file that grows, no
// descriptor beyond those it has, no process beside it.
void GiveUpResources() {
  for (const auto resource : {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NPROC, RLIMIT_MSGQUEUE}) {
    Limit(resource, 0);
  }
  Limit(RLIMIT_NOFILE, kMemory + 1);
}

// Where memory is short, the kernel ends a worker and not the server.
void OfferItself() {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  constexpr char kFirst[] = "1000";
  [[maybe_unused]] const ssize_t written = write(fd, kFirst, sizeof(kFirst) - 1);
  close(fd);
}

// Of what RLIMIT_DATA counts.
int64_t DataBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  long pages = 0;
  const int read = std::fscanf(file, "%*d %*d %*d %*d %*d %ld", &pages);
  std::fclose(file);
  return read == 1 ? pages * sysconf(_SC_PAGESIZE) : 0;
}

Hello Confine() {
  Hello hello;
  std::snprintf(hello.version, sizeof(hello.version), "%s", kVersion);
  OfferItself();
  hello.data_bytes = DataBytes();
  if (kSanitized) {
    std::snprintf(hello.refusal, sizeof(hello.refusal), "a build with sanitizers needs files");
    return hello;
  }
  GiveUpResources();
  const absl::Status filter = AllowDecodingOnly(kChannel, kMemory);
  hello.filtered = filter.ok();
  std::snprintf(hello.refusal, sizeof(hello.refusal), "%.*s",
                static_cast<int>(filter.message().size()), filter.message().data());
  return hello;
}

void Serve(const WorkerTask& task) {
  SharedBytes memory(kMemory);
  std::string message;
  while (ReceiveMessage(kChannel, &message) == Received::kMessage) {
    TaskPrefix prefix;
    if (message.size() < sizeof(prefix)) return;
    std::memcpy(&prefix, message.data(), sizeof(prefix));
    if (!memory.Map(prefix.memory_size)) return;
    const std::string reply = task(std::string_view(message).substr(sizeof(prefix)), &memory);
    if (!SendMessage(kChannel, reply)) return;
  }
}

}  // namespace

int RunWorker(int argc, char** argv, const WorkerTask& task) {
  const std::optional<WorkerArguments> arguments = ReadArguments(argc, argv);
  if (!arguments) {
    std::fputs("pixpool-decode-worker is started by pixpool-server, which decodes in it\n", stderr);
    return 2;
  }
  if (!FollowServer(arguments->parent)) return 1;
  TuneAllocator(/*cores=*/1, arguments->memory);
  // Another arena, where the first can get no more, would read a file of /proc as it shrinks.
  mallopt(M_ARENA_MAX, 1);
  const Hello hello = Confine();
  if (!SendMessage(kChannel, {reinterpret_cast<const char*>(&hello), sizeof(hello)})) return 1;
  Serve(task);
  // Without destructors and handlers of libraries: the process may be what a picture made of it.
  _exit(0);
}

}  // namespace pixpool
