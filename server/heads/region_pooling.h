// Regions of a feature map, each pooled to a map of one size: RoIAlign (He et al., "Mask R-CNN",
// 2017) and RoIPool (Girshick, "Fast R-CNN", 2015), with the conventions of
// torchvision.ops.roi_align and roi_pool. Plain loops in a fixed order. Torch-free.
#pragma once

#include <cstdint>
#include <string>

#include "server/image/image.h"

namespace pixpool {

enum class RegionPoolingKind { kRoiAlign, kRoiPool };

// How the map under a region becomes a map of its own.
struct RegionPooling {
  RegionPoolingKind kind = RegionPoolingKind::kRoiAlign;
  int height = 7;  // of the region's map, in cells
  int width = 7;
  // Of RoIAlign.
  int sampling_ratio = 0;  // samples along each axis of a cell; 0: as many as it has cells under it
  bool aligned = true;     // whether values stand for the centres of the map's cells

  // All of it that decides values, as text that follows a head's: ";region=roi_align:7x7:0:true".
  std::string Canonical() const;
};

// A feature map, float32 [height, width, channels]: the channels of a cell lie side by side. Views.
struct RegionMap {
  const float* values = nullptr;
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;
  double stride = 1;  // pixels of the network's input between cells
};

// Pools what lies under `box`, in pixels of the network's input, to `out`, float32 [pooling.height,
// pooling.width, channels]. The box may hang over the map's edges; sides of no length and boxes
// beside the map give zeros.
void PoolRegion(const RegionMap& map, const RegionF& box, const RegionPooling& pooling, float* out);

// Bytes of the maps of one region, over layers of so many channels together.
int64_t RegionMapBytes(const RegionPooling& pooling, int64_t channels);

// Most bytes of regions' maps that are held at a time for one picture, unless those of one region
// are more.
inline constexpr int64_t kRegionMapBytes = 1 << 20;

// Values of a map of these extents that PoolRegion reads for one region, roughly.
double RegionPoolingOperations(int64_t c, int64_t h, int64_t w, const RegionPooling& pooling);

}  // namespace pixpool
