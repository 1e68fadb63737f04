#pragma once

#include <string_view>

#include "server/base/enum_names.h"

namespace pixpool {

// How a worker came to be replaced; label `cause` of pixpool_decode_worker_failures_total.
enum class WorkerFailure { kCrash, kForbiddenCall, kTime, kMemory, kKilled, kReply, kStart };
constexpr std::string_view WorkerFailureName(WorkerFailure failure) {
  switch (failure) {
    case WorkerFailure::kCrash:  // by a signal of its own doing, or it ended by itself
      return "crash";
    case WorkerFailure::kForbiddenCall:  // asked the kernel for what it may not have
      return "forbidden_call";
    case WorkerFailure::kTime:  // took more time than its picture calls for
      return "time";
    case WorkerFailure::kMemory:  // wanted more memory than its picture calls for
      return "memory";
    case WorkerFailure::kKilled:  // from outside: by the kernel where memory is short, or a person
      return "killed";
    case WorkerFailure::kReply:  // answered what is no answer
      return "reply";
    case WorkerFailure::kStart:  // could not be started
      return "start";
  }
  return {};
}
inline constexpr int kWorkerFailureCount = NamedCount(WorkerFailureName);

}  // namespace pixpool
