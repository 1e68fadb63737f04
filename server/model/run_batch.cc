#include "server/model/run_batch.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/text.h"
#include "server/heads/head_params.h"
#include "server/model/run_regions.h"

namespace pixpool {
namespace {

// One place where a head's result goes.
struct Target {
  size_t task;
  size_t head;  // position in the task
  int64_t row;  // of the computed batch
};

// A distinct head of the batch and the images that asked for it.
struct Group {
  const HeadSpec* spec = nullptr;
  std::vector<int64_t> tasks;  // rising; the rows of the computed batch
  std::vector<Target> targets;
};

std::map<std::string, Group> GroupHeads(absl::Span<const ModelTask> tasks) {
  std::map<std::string, Group> groups;
  for (size_t t = 0; t < tasks.size(); ++t) {
    if (!tasks[t].whole) continue;
    for (size_t i = 0; i < tasks[t].heads.size(); ++i) {
      const HeadSpec& spec = tasks[t].heads[i];
      Group& group = groups[SameTensorsKey(spec)];
      group.spec = &spec;
      const auto task = static_cast<int64_t>(t);
      if (group.tasks.empty() || group.tasks.back() != task) group.tasks.push_back(task);
      group.targets.push_back({t, i, static_cast<int64_t>(group.tasks.size()) - 1});
    }
  }
  return groups;
}

// The rows of an output that a group wants: all of it, a run of neighbours without copying, or a
// selection. Undefined where the group's head does not read an output of this kind.
at::Tensor SelectRows(absl::Span<const at::Tensor> outputs, int position,
                      const std::vector<int64_t>& rows) {
  if (position < 0) return {};
  const at::Tensor& output = outputs[static_cast<size_t>(position)];
  const auto count = static_cast<int64_t>(rows.size());
  if (rows.back() - rows.front() + 1 == count) return output.narrow(0, rows.front(), count);
  const at::Tensor index = at::tensor(rows, at::TensorOptions(at::kLong)).to(output.device());
  return output.index_select(0, index);
}

}  // namespace

std::string SameTensorsKey(const HeadSpec& spec) {
  return spec.pooling + ParamsText(*spec.type, spec.params, /*in_space=*/false);
}

std::string NegativesWarningOf(const HeadSpec& head, absl::Span<const LayerInfo> layers) {
  if (head.layer_index < 0) return "";
  const LayerInfo& layer = layers[static_cast<size_t>(head.layer_index)];
  return layer.non_negative ? "" : NegativesWarning(head, Concat("layer '", layer.name, "'"));
}

void FailImage(ModelResult& result, const absl::Status& error, size_t head) {
  if (!result.status.ok()) return;  // the first error stands
  result.status = GetErrorDetails(error) ? PrependField(error, Concat("heads[", head, "]")) : error;
}

HeadOutput FinishedRow(const HeadSpec& head, const HeadTensors& tensors, int64_t row,
                       const std::string& warning, bool one_of_several) {
  HeadOutput output = TakeRow(head, tensors, row);
  if (!warning.empty()) output.warnings.push_back(warning);
  FinishPass(head.post, output.values);
  if (!one_of_several) FinishHead(head, output);
  return output;
}

absl::StatusOr<at::Tensor> StackInputs(absl::Span<const ModelTask> tasks) {
  for (const ModelTask& task : tasks) {
    if (task.input == nullptr || task.input->empty() ||
        task.input->width() != tasks.front().input->width() ||
        task.input->height() != tasks.front().input->height()) {
      return absl::InternalError("the pictures of a batch are not all there and of one size");
    }
  }
  const Image& first = *tasks.front().input;
  if (tasks.size() == 1) {  // as it is, without a copy; nobody writes to it
    return at::from_blob(const_cast<uint8_t*>(first.data()), {1, first.height(), first.width(), 3},
                         at::TensorOptions(at::kByte));
  }
  at::Tensor batch =
      at::empty({static_cast<int64_t>(tasks.size()), first.height(), first.width(), 3}, at::kByte);
  uint8_t* to = batch.mutable_data_ptr<uint8_t>();
  for (const ModelTask& task : tasks) {
    std::memcpy(to, task.input->data(), first.byte_size());
    to += first.byte_size();
  }
  return batch;
}

void RunHeads(absl::Span<const at::Tensor> outputs, const ModelTensors& model,
              absl::Span<const LayerInfo> layers, absl::Span<const ModelTask> tasks,
              absl::Span<ModelResult> results) {
  for (size_t t = 0; t < tasks.size(); ++t) {
    results[t].status = absl::OkStatus();
    results[t].outputs.assign(tasks[t].whole ? tasks[t].heads.size() : 0, HeadOutput());
  }
  // Of each map and selection of images, what its heads share.
  std::map<std::pair<int, std::vector<int64_t>>, MapStatistics> selections;
  for (const auto& [key, group] : GroupHeads(tasks)) {
    const HeadSource& source = group.spec->source;
    MapStatistics& shared =
        selections
            .try_emplace({source.map, group.tasks}, SelectRows(outputs, source.map, group.tasks))
            .first->second;
    const absl::StatusOr<HeadTensors> tensors = ComputeHead(
        *group.spec, {.shared = shared,
                      .model = &model,
                      .prefix_tokens = SelectRows(outputs, source.prefix_tokens, group.tasks),
                      .vector = SelectRows(outputs, source.vector, group.tasks)});
    const std::string warning = NegativesWarningOf(*group.spec, layers);
    for (const Target& target : group.targets) {
      if (!tensors.ok()) {
        FailImage(results[target.task], tensors.status(), target.head);
        continue;
      }
      const ModelTask& task = tasks[target.task];
      results[target.task].outputs[target.head] =
          FinishedRow(task.heads[target.head], *tensors, target.row, warning, task.one_of_several);
    }
  }
  for (size_t t = 0; t < tasks.size(); ++t) {
    if (tasks[t].regions.empty()) continue;
    RunRegions(outputs, static_cast<int64_t>(t), model, layers, tasks[t], results[t]);
  }
  for (ModelResult& result : results) {
    if (result.status.ok()) continue;
    result.outputs.clear();
    result.regions.clear();
  }
}

}  // namespace pixpool
