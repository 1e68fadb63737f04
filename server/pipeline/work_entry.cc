#include "server/pipeline/work_entry.h"

#include <algorithm>

namespace pixpool {
namespace {

// How many pictures may be between the queue and a model's backbone: what its instances take at
// once, or what can be decoded meanwhile, and one more, so that none waits for the next. Half of
// them will do where passes are heavy and decoding is not: others wait for what is ahead.
int WindowOf(const PipelineOptions& options, const Model& model, bool heavy) {
  const int batch = std::min(options.max_batch_size.value(), model.useful_batch_size());
  const int at_once = model.instance_count() * batch;
  if (heavy) return std::max(1, at_once / 2);
  return std::max(options.decode_threads.value(), at_once) + 1;
}

}  // namespace

WorkQueue::Entry EntryOf(const PipelineOptions& options, const WorkTimes& times, const Clock* clock,
                         const std::shared_ptr<RequestWork>& work, double decode, double pass) {
  const CallContext& call = work->context();
  const Model& model = *work->result.model->model;
  const bool dear = times.IsDear(*work, pass);
  const bool heavy = dear && pass >= kHeavySeconds && pass >= 4 * decode;
  WorkQueue::Entry entry = {.lane = &model,
                            .window = WindowOf(options, model, heavy),
                            .priority = call.priority(),
                            .caller = call.caller(),
                            .seconds = decode + pass,
                            .since = clock->Now()};
  if (dear && pass >= kLongSeconds) entry.crew = {&model, model.instance_count()};
  entry.over = [clock, work] { return work->context().Over(clock->Now()); };
  return entry;
}

WorkQueue::Entry EntryOf(const PipelineOptions& options, const WorkTimes& times, const Clock* clock,
                         const ImageRef& image, const void* decoders) {
  ImageState& state = image.state();
  WorkQueue::Entry entry =
      EntryOf(options, times, clock, image.work, state.decode_seconds, state.pass_seconds);
  state.has_long_pass = entry.crew.key != nullptr;
  if (!state.has_long_pass && state.decode_seconds >= kLongSeconds) {
    entry.crew = {decoders, options.decode_threads};
  }
  return entry;
}

}  // namespace pixpool
