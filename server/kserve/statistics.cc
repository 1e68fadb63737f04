#include "server/kserve/statistics.h"

#include <chrono>

namespace pixpool::kserve {

void Statistics::Sum::ToProto(inference::StatisticDuration* out) const {
  out->set_count(count);
  out->set_ns(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count()));
}

void Statistics::Add(const ModelInfo& model, bool ok, const StageDurations& times, size_t images,
                     TimeDuration convert, TimeDuration total) {
  const auto stage = [&times](Stage s) { return times[static_cast<size_t>(s)]; };
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  absl::MutexLock lock(&mu_);
  Row& row = rows_[{model.name, model.version}];
  row.last_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  if (!ok) return row.fail.Add(total);
  row.success.Add(total);
  row.images += images;
  row.queue.Add(stage(Stage::kQueue) + stage(Stage::kBatchWait));
  row.input.Add(stage(Stage::kDecode) + stage(Stage::kPreprocess));
  row.infer.Add(stage(Stage::kBackbone) + stage(Stage::kHeads));
  row.output.Add(stage(Stage::kDraw) + convert);
}

void Statistics::ToProto(const std::string& name, const std::string& version,
                         inference::ModelStatistics* out) const {
  Row row;
  {
    absl::MutexLock lock(&mu_);
    const auto found = rows_.find({name, version});
    if (found != rows_.end()) row = found->second;
  }
  out->set_name(name);
  out->set_version(version);
  out->set_last_inference(static_cast<uint64_t>(row.last_ms));
  out->set_inference_count(row.images);
  out->set_execution_count(row.success.count);
  inference::InferStatistics* stats = out->mutable_inference_stats();
  row.success.ToProto(stats->mutable_success());
  row.fail.ToProto(stats->mutable_fail());
  row.queue.ToProto(stats->mutable_queue());
  row.input.ToProto(stats->mutable_compute_input());
  row.infer.ToProto(stats->mutable_compute_infer());
  row.output.ToProto(stats->mutable_compute_output());
}

}  // namespace pixpool::kserve
