// What a scrape reads of admission and of each model. Internal to server/pipeline.
#pragma once

#include "server/metrics/metrics.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/model_registry.h"
#include "server/pipeline/model_runners.h"
#include "server/pipeline/work_queue.h"

namespace pixpool {

// Sets what is in flight, and what may be.
void ReadAdmission(const Admission& admission, Readings* readings);

// Sets `models` and instance_threads. `tensors` is the lane of work without a model.
void ReadModels(const ModelRegistry& registry, const WorkQueue& queue, const ModelRunners& runners,
                const void* tensors, TimePoint now, Readings* readings);

}  // namespace pixpool
