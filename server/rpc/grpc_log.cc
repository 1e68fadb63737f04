#include "server/rpc/grpc_log.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/synchronization/mutex.h"
#include "grpc/support/log.h"
#include "server/base/log.h"
#include "server/base/repeats.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr auto kPause = std::chrono::seconds(10);
constexpr size_t kKinds = 64;
// How a line begins after which gRPC ends the process.
constexpr std::string_view kLastWords = "assertion failed";

struct State {
  absl::Mutex mu;
  Repeats repeats ABSL_GUARDED_BY(mu){kPause, kKinds};
};

// Never destroyed: gRPC's threads may outlive main.
State& GlobalState() {
  static State* const state = new State;
  return *state;
}

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      break;
  }
  return LogLevel::kWarning;  // mostly a client's mistake
}

// Without the addresses, ports and numbers of errors that tell lines of one kind apart.
std::string KindOf(std::string_view text) {
  std::string kind(text);
  std::replace_if(kind.begin(), kind.end(), absl::ascii_isdigit, '#');
  return kind;
}

void Write(gpr_log_func_args* line) {
  const std::string_view path(line->file);
  const std::string place = Concat(path.substr(path.rfind('/') + 1), ":", line->line);
  const std::string_view message(line->message);
  if (message.starts_with(kLastWords)) return WriteLastLine(Concat(place, ": ", message));
  std::optional<int64_t> left_out;
  {
    State& state = GlobalState();
    absl::MutexLock lock(&state.mu);
    left_out = state.repeats.Tell(KindOf(Concat(place, " ", message)), Clock::Real()->Now());
  }
  if (!left_out) return;
  std::vector<LogField> fields = {{"place", place}, {"message", message}};
  if (*left_out > 0) fields.emplace_back("left_out", *left_out);
  Log(LevelOf(line->severity), "grpc", fields);
}

}  // namespace

void TakeGrpcLog() {
  GlobalState();
  gpr_set_log_function(&Write);
}

void TellGrpcLeftOut() {
  std::vector<std::pair<std::string, int64_t>> left_out;
  {
    State& state = GlobalState();
    absl::MutexLock lock(&state.mu);
    left_out = state.repeats.TakeLeftOut();
  }
  for (const auto& [kind, count] : left_out) {
    Log(LogLevel::kWarning, "grpc", {{"kind", kind}, {"left_out", count}});
  }
}

}  // namespace pixpool
