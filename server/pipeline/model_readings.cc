#include "server/pipeline/model_readings.h"

#include <algorithm>
#include <map>
#include <utility>

namespace pixpool {
namespace {

void Add(const WorkQueue::Waiting& waiting, TimePoint now, ModelReadings* to) {
  to->queue_depth += waiting.pieces;
  for (size_t p = 0; p < waiting.oldest.size(); ++p) {
    if (!waiting.oldest[p]) continue;
    to->oldest_wait_seconds[p] =
        std::max(to->oldest_wait_seconds[p], ToSeconds(now - *waiting.oldest[p]));
  }
}

}  // namespace

void ReadAdmission(const Admission& admission, GaugeReadings* readings) {
  const Admission::Usage usage = admission.usage();
  const AdmissionLimits limits = admission.limits();
  readings->queue_capacity = static_cast<double>(limits.max_requests);
  readings->requests_in_flight = static_cast<double>(usage.requests);
  readings->bytes_in_flight = static_cast<double>(usage.bytes + admission.held_bytes());
  readings->bytes_capacity = static_cast<double>(limits.max_bytes);
  readings->pixels_in_flight = static_cast<double>(usage.pixels);
  readings->pixels_capacity = static_cast<double>(limits.max_pixels);
  readings->overloaded = admission.overloaded() ? 1 : 0;
  readings->image_limit = admission.image_limit();
}

void ReadMemory(const MemoryBudget& memory, GaugeReadings* readings) {
  const MemoryBudget::Usage usage = memory.usage();
  readings->network_memory = static_cast<double>(usage.leased + usage.held);
  readings->network_memory_capacity = static_cast<double>(usage.capacity);
  readings->passes_waiting = static_cast<double>(usage.waiting);
}

void ReadAnswers(const AnswerStore::Usage& usage, const ResponseCacheOptions& options,
                 GaugeReadings* readings) {
  readings->cached_answers = static_cast<double>(usage.answers);
  readings->cache_bytes = static_cast<double>(usage.bytes);
  readings->cache_capacity = static_cast<double>(options.max_bytes.value());
}

void ReadModels(const ModelRegistry& registry, const WorkQueue& queue, const ModelRunners& runners,
                const void* tensors, TimePoint now, Readings* readings) {
  std::map<const void*, WorkQueue::Waiting> lanes = queue.waiting();
  std::map<const Model*, ModelRunners::State> states = runners.States(now);
  for (const ModelEntry& entry : registry.List()) {
    if (entry.loaded == nullptr) continue;
    states[entry.loaded->model.get()].metrics = entry.loaded->metrics;
  }
  // One that was loaded again has its series in common with the one before.
  std::map<const ModelMetrics*, ModelReadings> models;
  for (const auto& [lane, state] : states) {
    ModelReadings& model = models[state.metrics.get()];
    model.model = state.metrics;
    model.queue_depth += state.waiting;
    model.oldest_pass_seconds = std::max(model.oldest_pass_seconds, ToSeconds(state.oldest_pass));
    readings->instance_threads += state.threads;
    Add(lanes[lane], now, &model);
  }
  Add(lanes[tensors], now, &models[nullptr]);
  for (auto& [metrics, model] : models) readings->models.push_back(std::move(model));
}

}  // namespace pixpool
