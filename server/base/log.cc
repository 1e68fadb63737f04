#include "server/base/log.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <iterator>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/base/json_text.h"
#include "server/base/log_options.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"

namespace pixpool {
namespace {

constexpr int64_t kQueueLines = 8192;
constexpr int64_t kQueueBytes = 8 << 20;
// A text of a field is cut here.
constexpr size_t kMaxTextBytes = 4096;
// How long StopLog waits for a reader that has stalled.
constexpr auto kStopPatience = std::chrono::seconds(1);
constexpr int kPollMs = 50;
// A pipe that polls as writable takes this much without blocking (PIPE_BUF).
constexpr size_t kWriteBytes = 4096;

static_assert(std::size(kLogLevelNames) == static_cast<size_t>(LogLevel::kOff) + 1);

std::string_view LevelName(LogLevel level) { return kLogLevelNames[static_cast<size_t>(level)]; }

// Writes to standard error for as long as `patient` says so; whether all of it was written.
template <typename Patient>
bool WriteToStderr(std::string_view rest, Patient patient) {
  while (!rest.empty()) {
    const bool wait = patient();
    pollfd fd{STDERR_FILENO, POLLOUT, 0};
    if (poll(&fd, 1, wait ? kPollMs : 0) <= 0) {
      if (!wait) return false;
      continue;
    }
    const ssize_t n = write(STDERR_FILENO, rest.data(), std::min(rest.size(), kWriteBytes));
    if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Writes lines to standard error from the log's own thread. While the log runs, a stalled reader
// blocks this thread and nobody else; once it stops, the wait ends after kStopPatience and what is
// left counts as dropped.
class StderrSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit StderrSink(std::atomic<int64_t>* dropped) : dropped_(dropped) {}

  // Whether there is room for a line in the queue, which then counts it until it is written.
  bool Admit(size_t bytes) {
    const auto size = static_cast<int64_t>(bytes);
    const bool fits = queued_bytes_.fetch_add(size) + size <= kQueueBytes;
    if (queued_lines_.fetch_add(1) < kQueueLines && fits) return true;
    Leave(size);
    dropped_->fetch_add(1);
    return false;
  }

  void BeginStop() {
    stop_at_.store((std::chrono::steady_clock::now() + kStopPatience).time_since_epoch().count());
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const auto patient = [this] {
      const auto stop_at = stop_at_.load();
      return stop_at == 0 || std::chrono::steady_clock::now().time_since_epoch().count() < stop_at;
    };
    const std::string_view line(message.payload.data(), message.payload.size());
    if (!WriteToStderr(line, patient)) dropped_->fetch_add(1);
    Leave(static_cast<int64_t>(line.size()));
  }

  void flush_() override {}

 private:
  void Leave(int64_t bytes) {
    queued_bytes_.fetch_sub(bytes);
    queued_lines_.fetch_sub(1);
  }

  std::atomic<int64_t>* const dropped_;
  std::atomic<int64_t> queued_lines_{0};
  std::atomic<int64_t> queued_bytes_{0};
  std::atomic<std::chrono::steady_clock::rep> stop_at_{0};  // 0: not stopping
};

// A running log. Destruction writes what is queued and joins the thread.
struct Backend {
  std::shared_ptr<StderrSink> sink;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

struct State {
  absl::Mutex mu;
  std::shared_ptr<Backend> backend ABSL_GUARDED_BY(mu);
  std::atomic<LogLevel> level{LogLevel::kOff};
  std::atomic<int64_t> written_off{
      0};  // lines that could not be written, or were overrun in an earlier run
};

State& GlobalState() {
  static State* const state = new State;
  return *state;
}

void PrepareThread() {
  // Signals are for the main thread; a closed pipe must be an error of write(), not the end of the
  // process.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  SetThreadName("log");
}

}  // namespace

LogLevel LogLevelFromName(std::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff}) {
    if (name == LevelName(level)) return level;
  }
  return LogLevel::kInfo;
}

LogField::LogField(std::string_view key, std::string_view text) {
  AppendJsonString(&json, key);
  json += ':';
  AppendJsonString(&json, text.substr(0, kMaxTextBytes));
}

LogField::LogField(std::string_view key, double number) {
  AppendJsonString(&json, key);
  json += ':';
  if (!std::isfinite(number)) {
    json += "null";  // JSON has no other word for it
    return;
  }
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number).ptr;
  json.append(buffer, end);
}

LogField::LogField(std::string_view key, bool value)
    : LogField(Raw{}, key, value ? "true" : "false") {}

LogField::LogField(Raw, std::string_view key, std::string_view rendered) {
  AppendJsonString(&json, key);
  json += Concat(":", rendered);
}

void StartLog(LogLevel level) {
  State& state = GlobalState();
  absl::MutexLock lock(&state.mu);
  if (state.backend) return;
  auto backend = std::make_shared<Backend>();
  backend->sink = std::make_shared<StderrSink>(&state.written_off);
  backend->pool = std::make_shared<spdlog::details::thread_pool>(size_t{kQueueLines}, size_t{1},
                                                                 &PrepareThread);
  backend->logger = std::make_shared<spdlog::async_logger>(
      "pixpool", backend->sink, backend->pool, spdlog::async_overflow_policy::overrun_oldest);
  backend->logger->set_level(spdlog::level::trace);
  backend->logger->set_error_handler([](const std::string&) {});
  state.backend = std::move(backend);
  state.level.store(level);
}

void StopLog() {
  State& state = GlobalState();
  std::shared_ptr<Backend> backend;
  {
    absl::MutexLock lock(&state.mu);
    state.level.store(LogLevel::kOff);
    if (!state.backend) return;
    backend = std::move(state.backend);
    state.backend.reset();
  }
  backend->sink->BeginStop();
  // The pool is shared with this logger only weakly, so this joins its thread.
  const auto overrun = backend->pool.get();
  state.written_off.fetch_add(static_cast<int64_t>(overrun->overrun_counter()));
  backend->pool.reset();
}

void Log(LogLevel level, std::string_view event, const std::vector<LogField>& fields) {
  State& state = GlobalState();
  if (level == LogLevel::kOff || level < state.level.load(std::memory_order_relaxed)) return;
  std::shared_ptr<Backend> backend;
  {
    absl::MutexLock lock(&state.mu);
    backend = state.backend;
  }
  if (!backend) return;
  std::string line = Concat(
      "{\"time\":\"", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone()),
      "\",\"level\":\"", LevelName(level), "\",\"event\":");
  AppendJsonString(&line, event);
  for (const LogField& field : fields) absl::StrAppend(&line, ",", field.json);
  line += "}\n";
  if (!backend->sink->Admit(line.size())) return;
  backend->logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

void WriteLastLine(std::string_view text) {
  const auto end = std::chrono::steady_clock::now() + kStopPatience;
  WriteToStderr(Concat(text, "\n"), [end] { return std::chrono::steady_clock::now() < end; });
}

int64_t LogDroppedCount() {
  State& state = GlobalState();
  absl::MutexLock lock(&state.mu);
  int64_t count = state.written_off.load();
  if (state.backend) count += static_cast<int64_t>(state.backend->pool->overrun_counter());
  return count;
}

}  // namespace pixpool
