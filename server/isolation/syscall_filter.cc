#include "server/isolation/syscall_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "server/base/text.h"

namespace pixpool {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kMachine = 0;  // no filter is known for it
#endif

// (argument & mask) == value, of the argument's lower half: what is compared here is an int.
struct Condition {
  int argument;
  uint32_t mask;
  uint32_t value;
};
constexpr uint32_t kWhole = 0xffffffff;
constexpr auto kFutexOperation = static_cast<uint32_t>(FUTEX_CMD_MASK);

class Filter {
 public:
  Filter() {
    Add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
    Add(BPF_JMP | BPF_JEQ | BPF_K, kMachine, 1, 0);
    Add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  }

  // Allows a call if all conditions hold; otherwise the next rules decide.
  void Allow(long call, std::initializer_list<Condition> conditions = {}) {
    Add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
    auto left = static_cast<uint8_t>(3 * conditions.size() + 1);
    Add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, left);
    for (const Condition& c : conditions) {
      // Both machines are little-endian.
      const size_t at =
          offsetof(seccomp_data, args) + sizeof(uint64_t) * static_cast<size_t>(c.argument);
      left = static_cast<uint8_t>(left - 3);
      Add(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(at));
      Add(BPF_ALU | BPF_AND | BPF_K, c.mask);
      Add(BPF_JMP | BPF_JEQ | BPF_K, c.value, 0, left);
    }
    Add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }

  bool Install() {
    Add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    const sock_fprog program = {.len = static_cast<unsigned short>(code_.size()),
                                .filter = code_.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }

 private:
  void Add(int code, uint32_t k, uint8_t if_true = 0, uint8_t if_false = 0) {
    code_.push_back({static_cast<uint16_t>(code), if_true, if_false, k});
  }

  std::vector<sock_filter> code_;
};

void AllowMemory(Filter& filter, uint32_t memory) {
  for (const long call : {SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk}) filter.Allow(call);
  constexpr Condition kNotToRun = {2, PROT_EXEC, 0};
  filter.Allow(SYS_mprotect, {kNotToRun});
  filter.Allow(SYS_mmap, {kNotToRun, {3, MAP_ANONYMOUS, MAP_ANONYMOUS}});
  filter.Allow(SYS_mmap, {kNotToRun, {4, kWhole, memory}});
}

// What the C library does around locks, time and a process that ends by abort().
void AllowLibrary(Filter& filter) {
  for (const uint32_t operation : {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET}) {
    filter.Allow(SYS_futex, {{1, kFutexOperation, operation}});
  }
  for (const long call :
       {SYS_clock_gettime, SYS_gettimeofday, SYS_getrandom, SYS_sched_yield, SYS_restart_syscall,
        SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_getpid, SYS_gettid, SYS_exit, SYS_exit_group}) {
    filter.Allow(call);
  }
  filter.Allow(SYS_tgkill, {{0, kWhole, static_cast<uint32_t>(getpid())}});
  // How much memory there is: glibc's sort asks.
  filter.Allow(SYS_sysinfo);
  // Its last words, which go nowhere.
  for (const long call : {SYS_write, SYS_writev}) {
    filter.Allow(call, {{0, kWhole, STDERR_FILENO}});
  }
}

}  // namespace

absl::Status AllowDecodingOnly(int channel, int memory) {
  if (kMachine == 0) {
    return absl::UnavailableError("there is no filter of system calls for this processor");
  }
  Filter filter;
  for (const long call : {SYS_read, SYS_sendto}) {
    filter.Allow(call, {{0, kWhole, static_cast<uint32_t>(channel)}});
  }
  AllowMemory(filter, static_cast<uint32_t>(memory));
  AllowLibrary(filter);
  if (filter.Install()) return absl::OkStatus();
  return absl::UnavailableError(
      Concat("a filter of system calls (seccomp): ", std::strerror(errno)));
}

}  // namespace pixpool
