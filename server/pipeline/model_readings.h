// What a scrape reads of the pipeline, and of each model. Internal to server/pipeline.
#pragma once

#include "server/metrics/metrics.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/answer_store.h"
#include "server/pipeline/memory_budget.h"
#include "server/pipeline/model_registry.h"
#include "server/pipeline/model_runners.h"
#include "server/pipeline/options.h"
#include "server/pipeline/work_queue.h"

namespace pixpool {

// Each sets the gauges of what it is given.
void ReadAdmission(const Admission& admission, GaugeReadings* readings);
void ReadMemory(const MemoryBudget& memory, GaugeReadings* readings);
void ReadAnswers(const AnswerStore::Usage& usage, const ResponseCacheOptions& options,
                 GaugeReadings* readings);

// Sets `models` and instance_threads. `tensors` is the lane of work without a model.
void ReadModels(const ModelRegistry& registry, const WorkQueue& queue, const ModelRunners& runners,
                const void* tensors, TimePoint now, Readings* readings);

}  // namespace pixpool
