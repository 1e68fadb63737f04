#include "server/app/decode_isolation.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/base/log.h"
#include "server/base/text.h"
#include "server/isolation/spawn.h"

namespace pixpool {
namespace {

// Modes as the log has them.
constexpr std::string_view kFiltered = "filtered_processes";
constexpr std::string_view kUnfiltered = "unfiltered_processes";
constexpr std::string_view kNone = "none";

void DeclareFailures(Metrics* metrics) {
  std::vector<std::string_view> causes;
  for (int i = 0; i < kWorkerFailureCount; ++i) {
    causes.push_back(WorkerFailureName(static_cast<WorkerFailure>(i)));
  }
  metrics->DeclareDecodeWorkerFailures(causes);
}

absl::Status Required(std::string_view why) {
  return absl::FailedPreconditionError(
      Concat("pictures cannot be decoded in processes of their own with a filter of system calls (",
             IsolationOptions::kDecodeIsolation.flag, " on): ", why));
}

void LogMode(std::string_view mode, int workers, std::string_view why) {
  std::vector<LogField> fields = {{"mode", mode}, {"workers", workers}};
  if (!why.empty()) fields.emplace_back("message", why);
  Log(why.empty() ? LogLevel::kInfo : LogLevel::kWarning, "decode_isolation", fields);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DecodeWorkers>> StartDecodeWorkers(const IsolationOptions& options,
                                                                  int count, int64_t memory,
                                                                  Metrics* metrics) {
  DeclareFailures(metrics);
  const std::string& wanted = options.decode_isolation.value();
  if (wanted == "off") {
    LogMode(kNone, 0, "");
    return nullptr;
  }
  auto workers = DecodeWorkers::Start({.program = WorkerProgram(),
                                       .count = count,
                                       .memory = memory,
                                       .failed = [metrics](WorkerFailure failure) {
                                         metrics->DecodeWorkerFailed(WorkerFailureName(failure));
                                       }});
  const std::string why(workers.ok() ? (*workers)->refusal() : ToStd(workers.status().message()));
  if (wanted == "on" && !why.empty()) return Required(why);
  if (!workers.ok()) {
    LogMode(kNone, 0, why);
    return nullptr;
  }
  LogMode((*workers)->filtered() ? kFiltered : kUnfiltered, count, why);
  return workers;
}

}  // namespace pixpool
