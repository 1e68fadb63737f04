// How the memory of the process is shared out. Internal to server/pipeline.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/memory_budget.h"
#include "server/pipeline/model_registry.h"
#include "server/pipeline/options.h"

namespace pixpool {

// How often bytes in flight count: received and not whole yet, read or kept for a client
// (Admission::HoldMessage, HoldKept), and in flight.
inline constexpr int64_t kByteShares = 3;

// What the models that are ready take besides what is resident after loading.
struct ModelsMemory {
  int64_t usual_passes = 0;  // of all instances
  int64_t largest_pass = 0;  // over a picture of the largest input, for all layers
};
ModelsMemory MemoryOfModels(const ModelRegistry& registry, int max_input_side);

struct MemoryPlan {
  int64_t network = 0;  // for passes and for what models keep between them
  // Ceilings of admission.
  int64_t max_bytes = 0;
  int64_t max_pixels = 0;
  bool lowered = false;  // whether a ceiling is below its option
};

// Of `memory` bytes in all, `models` are taken before the first request. The rest is for what is in
// flight, up to the ceilings of the options, and for passes. Where it is too little for both the
// ceilings and the largest pass that the options allow, that pass comes first, with up to two
// thirds of the rest, and the ceilings are lowered in proportion. FAILED_PRECONDITION where the
// rest is less than kLeastForRequests.
absl::StatusOr<MemoryPlan> PlanMemory(int64_t memory, int64_t models, int64_t largest_pass,
                                      const AdmissionLimits& limits);

// Plans with `resident` bytes taken after loading, gives each its part, and logs one line, a
// warning where ceilings are lowered. Without effect where nobody says how much memory there is.
absl::Status ShareMemory(int64_t resident, const PipelineOptions& options,
                         const ModelRegistry& registry, MemoryBudget* budget, Admission* admission);

}  // namespace pixpool
