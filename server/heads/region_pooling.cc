#include "server/heads/region_pooling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "server/base/text.h"

namespace pixpool {
namespace {

// One axis. What decides how many samples or cells are read is reckoned in float32, as torchvision
// does.
struct Axis {
  float from = 0;  // of the box, in pixels of the input
  float to = 0;
  double scale = 1;  // cells of the map in a pixel
  int64_t cells = 0;
  int outputs = 0;
};

// Cells of an axis, one after another, that one cell of the region's map reads, and their weights.
struct Taps {
  int64_t first = 0;
  std::vector<float> weights;
};

// Adds one sample of weight 1, interpolated between its neighbours; none off the map.
void AddSample(double at, int64_t cells, std::vector<double>* weights) {
  if (at < -1 || at > static_cast<double>(cells)) return;
  const double inside = std::max(at, 0.0);
  const auto low = static_cast<int64_t>(inside);
  if (low >= cells - 1) {
    weights->back() += 1;
    return;
  }
  const double high = inside - static_cast<double>(low);
  (*weights)[static_cast<size_t>(low)] += 1 - high;
  (*weights)[static_cast<size_t>(low) + 1] += high;
}

// What is not zero of `weights`, each divided by `samples`.
Taps Compact(const std::vector<double>& weights, int64_t samples) {
  const auto used = [](double weight) { return weight != 0; };
  const auto begin = std::find_if(weights.begin(), weights.end(), used);
  const auto end = std::find_if(weights.rbegin(), weights.rend(), used).base();
  Taps taps;
  if (begin >= end) return taps;
  taps.first = begin - weights.begin();
  for (auto it = begin; it != end; ++it) {
    taps.weights.push_back(static_cast<float>(*it / static_cast<double>(samples)));
  }
  return taps;
}

// The bilinear samples of a cell are those of its rows times those of its columns, so each axis has
// its weights alone.
std::vector<Taps> AlignTaps(const Axis& axis, const RegionPooling& pooling) {
  const float offset = pooling.aligned ? 0.5f : 0.0f;
  const float least = pooling.aligned ? 0.0f : 1.0f;
  const auto scale = static_cast<float>(axis.scale);
  const float length = std::max(axis.to * scale - offset - (axis.from * scale - offset), least);
  const int64_t samples =
      pooling.sampling_ratio > 0
          ? pooling.sampling_ratio
          : static_cast<int64_t>(std::ceil(length / static_cast<float>(axis.outputs)));
  // Where they lie is exact: in float32, a sample far from the corner is off by 1e-5 of a cell.
  const double start = double{axis.from} * axis.scale - offset;
  const double exact = std::max((double{axis.to} - axis.from) * axis.scale, double{least});
  const double bin = exact / axis.outputs;
  std::vector<Taps> taps;
  std::vector<double> weights(static_cast<size_t>(axis.cells));
  for (int i = 0; i < axis.outputs; ++i) {
    std::fill(weights.begin(), weights.end(), 0.0);
    for (int64_t s = 0; s < samples; ++s) {
      const double share = (static_cast<double>(s) + 0.5) / static_cast<double>(samples);
      AddSample(start + (i + share) * bin, axis.cells, &weights);
    }
    taps.push_back(Compact(weights, samples));
  }
  return taps;
}

// The cells of each maximum: RoIPool's, all of weight 1.
std::vector<Taps> PoolTaps(const Axis& axis) {
  const auto scale = static_cast<float>(axis.scale);
  const auto start = static_cast<int64_t>(std::round(axis.from * scale));
  const auto end = static_cast<int64_t>(std::round(axis.to * scale));
  const int64_t length = std::max<int64_t>(end - start + 1, 1);
  const float bin = static_cast<float>(length) / static_cast<float>(axis.outputs);
  const auto clamped = [&](float at) {
    return std::clamp<int64_t>(static_cast<int64_t>(at) + start, 0, axis.cells);
  };
  std::vector<Taps> taps;
  for (int i = 0; i < axis.outputs; ++i) {
    const int64_t first = clamped(std::floor(static_cast<float>(i) * bin));
    const int64_t last = clamped(std::ceil(static_cast<float>(i + 1) * bin));
    taps.push_back({first, std::vector<float>(std::max<int64_t>(0, last - first), 1.0f)});
  }
  return taps;
}

// A cell of the map, its channels, that a cell of the region's map reads.
struct Source {
  const float* channels;
  float weight;
};

// Adds the weighted channels of four sources at a time, so that sums are stored a quarter as often.
void AddFour(const std::array<Source, 4>& four, int64_t channels, float* __restrict out) {
  const auto& [a, b, c, d] = four;
  for (int64_t k = 0; k < channels; ++k) {
    float sum = out[k] + a.weight * a.channels[k];
    sum += b.weight * b.channels[k];
    sum += c.weight * c.channels[k];
    out[k] = sum + d.weight * d.channels[k];
  }
}

void AddOne(const Source& source, int64_t channels, float* __restrict out) {
  for (int64_t k = 0; k < channels; ++k) out[k] += source.weight * source.channels[k];
}

void Sum(const std::vector<Source>& sources, int64_t channels, float* out) {
  std::fill_n(out, channels, 0.0f);
  size_t i = 0;
  for (; i + 4 <= sources.size(); i += 4) {
    AddFour({sources[i], sources[i + 1], sources[i + 2], sources[i + 3]}, channels, out);
  }
  for (; i < sources.size(); ++i) AddOne(sources[i], channels, out);
}

// A NaN is never larger, as in torchvision.
void Largest(const std::vector<Source>& sources, int64_t channels, float* __restrict out) {
  std::fill_n(out, channels, std::numeric_limits<float>::lowest());
  for (const Source& source : sources) {
    for (int64_t k = 0; k < channels; ++k) {
      out[k] = source.channels[k] > out[k] ? source.channels[k] : out[k];
    }
  }
}

void FindSources(const RegionMap& map, const Taps& y, const Taps& x, std::vector<Source>* sources) {
  sources->clear();
  for (size_t i = 0; i < y.weights.size(); ++i) {
    for (size_t j = 0; j < x.weights.size(); ++j) {
      const float weight = y.weights[i] * x.weights[j];
      if (weight == 0) continue;
      const int64_t cell =
          (y.first + static_cast<int64_t>(i)) * map.width + x.first + static_cast<int64_t>(j);
      sources->push_back({map.values + cell * map.channels, weight});
    }
  }
}

std::pair<Axis, Axis> AxesOf(const RegionMap& map, const RegionF& box,
                             const RegionPooling& pooling) {
  const double scale = 1 / map.stride;
  return {{.from = static_cast<float>(box.top),
           .to = static_cast<float>(box.bottom),
           .scale = scale,
           .cells = map.height,
           .outputs = pooling.height},
          {.from = static_cast<float>(box.left),
           .to = static_cast<float>(box.right),
           .scale = scale,
           .cells = map.width,
           .outputs = pooling.width}};
}

}  // namespace

std::string RegionPooling::Canonical() const {
  if (kind == RegionPoolingKind::kRoiPool) {
    return Concat(";region=roi_pool:", height, "x", width);
  }
  return Concat(";region=roi_align:", height, "x", width, ":", sampling_ratio, ":",
                aligned ? "true" : "false");
}

void PoolRegion(const RegionMap& map, const RegionF& box, const RegionPooling& pooling,
                float* out) {
  const bool align = pooling.kind == RegionPoolingKind::kRoiAlign;
  const auto [y, x] = AxesOf(map, box, pooling);
  const std::vector<Taps> rows = align ? AlignTaps(y, pooling) : PoolTaps(y);
  const std::vector<Taps> columns = align ? AlignTaps(x, pooling) : PoolTaps(x);
  std::vector<Source> sources;
  for (const Taps& row : rows) {
    for (const Taps& column : columns) {
      FindSources(map, row, column, &sources);
      if (align || sources.empty()) {
        Sum(sources, map.channels, out);
      } else {
        Largest(sources, map.channels, out);
      }
      out += map.channels;
    }
  }
}

int64_t RegionMapBytes(const RegionPooling& pooling, int64_t channels) {
  return int64_t{pooling.height} * pooling.width * channels * int64_t{sizeof(float)};
}

double RegionPoolingOperations(int64_t c, int64_t h, int64_t w, const RegionPooling& pooling) {
  // Along an axis each cell of the region's map reads the cells below it and one more on each side.
  const auto read = [&](int64_t cells, int outputs) {
    return static_cast<double>(cells) + 2.0 * outputs * std::max(1, pooling.sampling_ratio);
  };
  return static_cast<double>(c) * read(h, pooling.height) * read(w, pooling.width);
}

}  // namespace pixpool
