// The log: one JSON object per line on standard error. Asynchronous and bounded, by 8,192 lines and
// by 8 MiB: when the reader of the pipe stalls, lines are dropped and counted, requests are not
// held up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace pixpool {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

// One of kLogLevelNames (log_options.h); anything else is info.
LogLevel LogLevelFromName(std::string_view name);

// A JSON value of a log line, rendered at once.
struct LogField {
  LogField(std::string_view key, std::string_view text);
  LogField(std::string_view key, const char* text) : LogField(key, std::string_view(text)) {}
  LogField(std::string_view key, const std::string& text) : LogField(key, std::string_view(text)) {}
  LogField(std::string_view key, double number);
  LogField(std::string_view key, bool value);
  template <typename T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
      LogField(std::string_view key, T number)
      : LogField(Raw{}, key, std::to_string(number)) {}

  std::string json;  // "\"key\":value"

 private:
  struct Raw {};
  LogField(Raw, std::string_view key, std::string_view rendered);
};

// Starts the log. Without it, Log writes nothing. Call once, before threads start.
void StartLog(LogLevel level);

// Writes what is pending and stops the log; gives up after a second if the reader has stalled. Safe
// to call twice.
void StopLog();

// One line: {"time":"...Z","level":"info","event":"...",fields...}. Any bytes in texts come out as
// valid JSON on one line; texts over 4 KiB are cut.
void Log(LogLevel level, std::string_view event, const std::vector<LogField>& fields = {});

// Writes a line of plain text to standard error, past the log; gives up after a second if the
// reader has stalled. For the reason why the process ends.
void WriteLastLine(std::string_view text);

// Lines dropped since the start because the sink was slower than the log.
int64_t LogDroppedCount();

}  // namespace pixpool
