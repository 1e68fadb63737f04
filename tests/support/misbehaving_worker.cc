// A worker whose decoders do harm where a picture's bytes ask for it: "pixpool-test:" and what to
// do. Of tests only; never installed. All else it does as pixpool-decode-worker does.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "server/isolation/channel.h"
#include "server/isolation/picture_message.h"
#include "server/isolation/worker.h"

namespace {

void OpenFile() { open("/etc/passwd", O_RDONLY); }
void Connect() { socket(AF_INET, SOCK_STREAM, 0); }
void Execute() { execl("/bin/true", "true", nullptr); }
void Fork() { fork(); }
void Signal() { kill(getppid(), SIGTERM); }
void MakeCode() {
  mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
void Truncate() {
  if (ftruncate(pixpool::kMemory, 0) != 0) _exit(7);
}

void WriteOutOfBounds() {
  volatile uint8_t* at = static_cast<uint8_t*>(std::malloc(1));
  for (;;) *at++ = 1;
}

void Loop() {
  volatile bool always = true;
  while (always) {
  }
}

// Nothing comes while a task is done.
void Wait() {
  char byte;
  while (read(pixpool::kChannel, &byte, 1) > 0) {
  }
}

void EatMemory() {
  constexpr size_t kBite = 16 << 20;
  for (;;) std::memset(operator new(kBite), 1, kBite);
}

void Exit() { _exit(0); }

const std::map<std::string_view, void (*)()> kMisdeeds = {
    {"open", &OpenFile},     {"connect", &Connect},
    {"exec", &Execute},      {"fork", &Fork},
    {"signal", &Signal},     {"code", &MakeCode},
    {"truncate", &Truncate}, {"write", &WriteOutOfBounds},
    {"abort", &std::abort},  {"loop", &Loop},
    {"wait", &Wait},         {"memory", &EatMemory},
    {"exit", &Exit},
};

// What the picture asks for; empty for a picture like any other.
std::string_view Asked(std::string_view bytes) {
  constexpr std::string_view kMark = "pixpool-test:";
  const size_t at = bytes.find(kMark);
  if (at == bytes.npos) return {};
  const std::string_view rest = bytes.substr(at + kMark.size());
  return rest.substr(0, rest.find('.'));
}

std::string Answer(std::string_view message, pixpool::SharedBytes* memory) {
  const auto task = pixpool::ReadTask(message, memory->data(), memory->size());
  const std::string_view asked = task ? Asked(task->bytes) : std::string_view();
  if (asked == "reply") return "no reply at all";
  try {
    if (const auto misdeed = kMisdeeds.find(asked); misdeed != kMisdeeds.end()) misdeed->second();
  } catch (const std::bad_alloc&) {
    return pixpool::AnswerNoMemory();
  }
  return pixpool::AnswerPicture(message, memory);
}

}  // namespace

int main(int argc, char** argv) { return pixpool::RunWorker(argc, argv, &Answer); }
