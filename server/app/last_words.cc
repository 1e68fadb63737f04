#include "server/app/last_words.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "server/base/guarded.h"

namespace pixpool {
namespace {

constexpr const char* kMemory =
    "out of memory: raise the limit of the container or of the process (ulimit -v)";
constexpr const char* kThreads =
    "no more threads can be made: raise the limit of processes (ulimit -u, the container's pids) "
    "or of memory (ulimit -v)";
constexpr const char* kDescriptors = "out of file descriptors: raise the limit (ulimit -n)";

// One line, without allocating.
void Write(const char* text) {
  std::array<char, 512> line;
  const int size = std::snprintf(line.data(), line.size(), "pixpool-server: %s", text);
  std::string_view whole(line.data(), std::min<size_t>(static_cast<size_t>(size), line.size() - 1));
  whole = whole.substr(0, whole.find('\n'));
  line[whole.size()] = '\n';
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), whole.size() + 1);
}

const char* LackOf(const std::error_code& code) {
  switch (code.value()) {
    case EAGAIN:  // of std::thread
      return kThreads;
    case ENOMEM:
      return kMemory;
    case EMFILE:
    case ENFILE:
      return kDescriptors;
    default:
      return nullptr;
  }
}

// What is missing, and else the exception's words; calls `use` with them, since they end with it.
// Whether something is missing.
template <typename Use>
bool ExplainCurrent(const Use& use) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    use(kMemory);
    return true;
  } catch (const std::system_error& e) {
    const char* const lack = LackOf(e.code());
    use(lack != nullptr ? lack : e.what());
    return lack != nullptr;
  } catch (const std::exception& e) {
    use(e.what());
  } catch (...) {
    use("an error of unknown kind");
  }
  return false;
}

[[noreturn]] void Terminate() {
  if (std::current_exception() != nullptr) {
    if (ExplainCurrent(&Write)) _exit(1);
  } else if (std::uncaught_exceptions() > 0) {
    // A thread was destroyed on the way out, since the next one could not be made.
    Write(kThreads);
    _exit(1);
  } else {
    Write("ended by std::terminate");
  }
  std::abort();
}

}  // namespace

std::string ExplainException() {
  std::string text;
  ExplainCurrent([&](const char* words) { text = words; });
  return text;
}

std::string ExplainMessage(const std::string& message) {
  for (const auto& [error, lack] :
       {std::pair(EAGAIN, kThreads), std::pair(ENOMEM, kMemory), std::pair(EMFILE, kDescriptors)}) {
    if (message.find(std::strerror(error)) != message.npos) return message + ": " + lack;
  }
  if (TellsOfNoMemory(message)) return message + ": " + kMemory;
  return message;
}

int RunOrExplain(const std::function<int()>& body) {
  try {
    return body();
  } catch (...) {
    ExplainCurrent(&Write);
    return 1;
  }
}

void ExplainTermination() { std::set_terminate(&Terminate); }

}  // namespace pixpool
