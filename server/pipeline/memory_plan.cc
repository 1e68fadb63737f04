#include "server/pipeline/memory_plan.h"

#include <algorithm>
#include <vector>

#include "server/base/log.h"
#include "server/base/memory_room.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

void LogMemoryPlan(int64_t memory, int64_t models, int64_t cache, int64_t largest_pass,
                   const MemoryPlan& plan) {
  Log(plan.lowered ? LogLevel::kWarning : LogLevel::kInfo, "memory",
      {{"bytes", memory},
       {"models", models - cache},
       {"response_cache", cache},
       {"network", plan.network},
       {"largest_pass", largest_pass},
       {"max_in_flight_bytes", plan.max_bytes},
       {"max_in_flight_pixels", plan.max_pixels},
       {"lowered", plan.lowered}});
}

}  // namespace

ModelsMemory MemoryOfModels(const ModelRegistry& registry, int max_input_side) {
  ModelsMemory memory;
  for (const ModelEntry& entry : registry.List()) {
    if (entry.loaded == nullptr) continue;
    const Model& model = *entry.loaded->model;
    std::vector<HeadSpec> heads(model.info().layers.size());
    for (size_t i = 0; i < heads.size(); ++i) heads[i].source.map = static_cast<int>(i);
    memory.usual_passes += model.UsualBytes();
    memory.largest_pass =
        std::max(memory.largest_pass, model.PassBytes({max_input_side, max_input_side}, heads));
  }
  return memory;
}

absl::StatusOr<MemoryPlan> PlanMemory(int64_t memory, int64_t models, int64_t largest_pass,
                                      const AdmissionLimits& limits) {
  const int64_t rest = memory - models;
  if (rest < kLeastForRequests) {
    return MemoryTooLittle(memory, models, "requests", kLeastForRequests,
                           models + kLeastForRequests);
  }
  const int64_t wanted = kByteShares * limits.max_bytes + kBytesPerPixel * limits.max_pixels;
  const int64_t in_flight = std::min(wanted, rest - std::min(largest_pass, rest / 3 * 2));
  const double share = static_cast<double>(in_flight) / static_cast<double>(wanted);
  MemoryPlan plan;
  plan.lowered = in_flight < wanted;
  plan.max_bytes = static_cast<int64_t>(share * static_cast<double>(limits.max_bytes));
  plan.max_pixels = static_cast<int64_t>(share * static_cast<double>(limits.max_pixels));
  plan.network = rest - in_flight;
  return plan;
}

absl::Status ShareMemory(int64_t resident, const PipelineOptions& options,
                         const ModelRegistry& registry, MemoryBudget* budget,
                         Admission* admission) {
  const int64_t memory = MemoryOf(options.memory);
  if (memory == 0) return absl::OkStatus();
  const ModelsMemory models = MemoryOfModels(registry, options.input.max_side);
  const int64_t cache = options.response_cache.max_bytes;
  const int64_t taken = resident + models.usual_passes + cache;
  const absl::StatusOr<MemoryPlan> planned =
      PlanMemory(memory, taken, models.largest_pass, options.admission);
  if (!planned.ok() && cache > 0) {
    return absl::Status(planned.status().code(),
                        Concat(ToStd(planned.status().message()), "; of what the models take, ",
                               MebibytesText(cache), " are for the response cache (",
                               ResponseCacheOptions::kMaxBytes.flag, ")"));
  }
  PIXPOOL_ASSIGN_OR_RETURN(const MemoryPlan plan, planned);
  budget->SetCapacity(plan.network);
  admission->SetMost(plan.max_bytes, plan.max_pixels);
  LogMemoryPlan(memory, taken, cache, models.largest_pass, plan);
  return absl::OkStatus();
}

}  // namespace pixpool
