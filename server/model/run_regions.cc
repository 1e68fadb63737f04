#include "server/model/run_regions.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "server/heads/region_pooling.h"

namespace pixpool {
namespace {

// One picture's map, on the CPU with the channels of a cell side by side, [H, W, C].
at::Tensor CellsOf(const at::Tensor& maps, int64_t row) {
  return maps.select(0, row).permute({1, 2, 0}).to(at::kCPU).contiguous();
}

// What lies under each region of a map, float32 [regions, C, height, width].
at::Tensor PoolRegions(const at::Tensor& cells, double stride, absl::Span<const RegionF> regions,
                       const RegionPooling& pooling) {
  const RegionMap map = {.values = cells.const_data_ptr<float>(),
                         .channels = cells.size(2),
                         .height = cells.size(0),
                         .width = cells.size(1),
                         .stride = stride};
  const auto count = static_cast<int64_t>(regions.size());
  at::Tensor pooled = at::empty({count, pooling.height, pooling.width, map.channels},
                                at::TensorOptions(at::kFloat));
  float* out = pooled.mutable_data_ptr<float>();
  for (const RegionF& region : regions) {
    PoolRegion(map, region, pooling, out);
    out += int64_t{pooling.height} * pooling.width * map.channels;
  }
  return pooled.permute({0, 3, 1, 2});
}

// A layer whose map some head of a task reads.
struct Source {
  at::Tensor cells;
  double stride = 1;
  at::Device device = at::kCPU;  // of the layer's map
};

using Sources = std::map<int, Source>;  // by the layer's position

Sources SourcesOf(absl::Span<const at::Tensor> outputs, int64_t row,
                  absl::Span<const LayerInfo> layers, const ModelTask& task) {
  Sources sources;
  for (const HeadSpec& head : task.heads) {
    const auto [it, added] = sources.try_emplace(head.source.map);
    if (!added) continue;
    const at::Tensor& maps = outputs[static_cast<size_t>(head.source.map)];
    it->second = {
        .cells = CellsOf(maps, row),
        .stride = static_cast<double>(layers[static_cast<size_t>(head.layer_index)].stride),
        .device = maps.device()};
  }
  return sources;
}

// Regions whose maps of all layers are held at a time.
size_t RegionsAtOnce(const Sources& sources, const RegionPooling& pooling) {
  int64_t channels = 0;
  for (const auto& [layer, source] : sources) channels += source.cells.size(2);
  return static_cast<size_t>(
      std::max<int64_t>(1, kRegionMapBytes / RegionMapBytes(pooling, channels)));
}

// Some regions of a task, from `first` on.
void RunSome(const Sources& sources, size_t first, absl::Span<const RegionF> regions,
             const ModelTensors& model, absl::Span<const LayerInfo> layers, const ModelTask& task,
             ModelResult& result) {
  std::map<int, MapStatistics> maps;
  // Heads that give the same tensors, one after the other, so that none outlives its use.
  std::map<std::string, std::vector<size_t>> groups;
  for (size_t h = 0; h < task.heads.size(); ++h) groups[SameTensorsKey(task.heads[h])].push_back(h);
  for (const auto& [key, heads] : groups) {
    const HeadSpec& any = task.heads[heads.front()];
    const int layer = any.source.map;
    auto map = maps.find(layer);
    if (map == maps.end()) {
      const Source& source = sources.at(layer);
      map =
          maps.try_emplace(
                  layer,
                  PoolRegions(source.cells, source.stride, regions, task.pooling).to(source.device))
              .first;
    }
    const absl::StatusOr<HeadTensors> tensors =
        ComputeHead(any, {.shared = map->second, .model = &model});
    const std::string warning = NegativesWarningOf(any, layers);
    for (const size_t h : heads) {
      if (!tensors.ok()) {
        FailImage(result, tensors.status(), h);
        continue;
      }
      for (size_t r = 0; r < regions.size(); ++r) {
        result.regions[first + r][h] =
            FinishedRow(task.heads[h], *tensors, static_cast<int64_t>(r), warning,
                        /*one_of_several=*/false);
      }
    }
  }
}

}  // namespace

void RunRegions(absl::Span<const at::Tensor> outputs, int64_t row, const ModelTensors& model,
                absl::Span<const LayerInfo> layers, const ModelTask& task, ModelResult& result) {
  result.regions.assign(task.regions.size(), std::vector<HeadOutput>(task.heads.size()));
  const Sources sources = SourcesOf(outputs, row, layers, task);
  const size_t at_once = RegionsAtOnce(sources, task.pooling);
  for (size_t first = 0; first < task.regions.size() && result.status.ok(); first += at_once) {
    RunSome(sources, first, task.regions.subspan(first, at_once), model, layers, task, result);
  }
}

}  // namespace pixpool
