#include "server/image/heatmap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "server/image/components.h"

namespace pixpool {
namespace {

constexpr float kBoxHeat = 0.2f;
constexpr float kMostOpaque = 0.7f;
constexpr double kRounding = 1e-6;  // of a pixel: edges that were whole before scaling stay whole

using Colors = std::array<std::array<uint8_t, 3>, 256>;  // RGB

const Colors& HeatColors() {
  static const Colors colors = [] {
    cv::Mat levels(1, 256, CV_8UC1);
    for (int i = 0; i < 256; ++i) levels.at<uint8_t>(0, i) = static_cast<uint8_t>(i);
    cv::Mat bgr;
    // Even steps to the eye, black at nothing, and readable without seeing red and green apart.
    cv::applyColorMap(levels, bgr, cv::COLORMAP_INFERNO);
    Colors result;
    for (int i = 0; i < 256; ++i) {
      const cv::Vec3b& color = bgr.at<cv::Vec3b>(0, i);
      result[static_cast<size_t>(i)] = {color[2], color[1], color[0]};
    }
    return result;
  }();
  return colors;
}

std::vector<float> Heat(const ActivationView& map) {
  float peak = 0;
  for (const float value : map.values) peak = std::max(peak, value);
  std::vector<float> heat(map.values.size());
  if (!(peak > 0)) return heat;
  for (size_t i = 0; i < heat.size(); ++i) heat[i] = std::max(map.values[i], 0.0f) / peak;
  return heat;
}

// Where a pixel's centre falls between the cells of one axis of a map.
struct Sample {
  int first = -1;  // -1: outside of the area
  int second = 0;
  float weight = 0;  // of the second
};

// For each of `count` pixels, where it falls on `cells` cells spread over [start, end) pixels;
// cells reach as far as half a cell beyond the outer centres, as in bilinear resizing.
std::vector<Sample> SampleAxis(int count, int cells, double start, double end) {
  std::vector<Sample> samples(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const double share = (i + 0.5 - start) / (end - start);
    if (!(share >= 0 && share < 1)) continue;
    const double at = std::clamp(share * cells - 0.5, 0.0, cells - 1.0);
    Sample& sample = samples[static_cast<size_t>(i)];
    sample.first = static_cast<int>(at);
    sample.second = std::min(sample.first + 1, cells - 1);
    sample.weight = static_cast<float>(at - sample.first);
  }
  return samples;
}

// The heat at every pixel of a grid: visit(y, x, heat) in scan order, 0 outside of the area.
template <typename Visit>
void VisitHeat(const std::vector<float>& heat, int map_width, const std::vector<Sample>& rows,
               const std::vector<Sample>& columns, Visit visit) {
  std::vector<float> line(static_cast<size_t>(map_width));
  for (size_t y = 0; y < rows.size(); ++y) {
    const Sample& row = rows[y];
    const bool inside = row.first >= 0;
    if (inside) {
      const float* above = &heat[static_cast<size_t>(row.first) * line.size()];
      const float* below = &heat[static_cast<size_t>(row.second) * line.size()];
      for (size_t i = 0; i < line.size(); ++i) {
        line[i] = above[i] + (below[i] - above[i]) * row.weight;
      }
    }
    for (size_t x = 0; x < columns.size(); ++x) {
      const Sample& column = columns[x];
      float value = 0;
      if (inside && column.first >= 0) {
        const float left = line[static_cast<size_t>(column.first)];
        value = left + (line[static_cast<size_t>(column.second)] - left) * column.weight;
      }
      visit(y, x, value);
    }
  }
}

const std::array<uint8_t, 3>& ColorOf(float heat) {
  // Written so that NaN is no evidence.
  const int level = heat > 0 ? std::min(255, static_cast<int>(heat * 255 + 0.5f)) : 0;
  return HeatColors()[static_cast<size_t>(level)];
}

template <typename Visit>
void VisitPicture(const ActivationView& map, int height, int width, Visit visit) {
  const RegionF& area = map.area;
  VisitHeat(Heat(map), map.width, SampleAxis(height, map.height, area.top, area.bottom),
            SampleAxis(width, map.width, area.left, area.right), visit);
}

}  // namespace

Region EvidenceBox(const ActivationView& map, int input_height, int input_width, int picture_height,
                   int picture_width) {
  std::vector<uint8_t> mask(static_cast<size_t>(input_height) * static_cast<size_t>(input_width));
  VisitHeat(Heat(map), map.width, SampleAxis(input_height, map.height, 0, input_height),
            SampleAxis(input_width, map.width, 0, input_width),
            [&](size_t y, size_t x, float heat) {
              mask[y * static_cast<size_t>(input_width) + x] = heat > kBoxHeat;
            });
  const Component part = LargestComponent(mask, input_height, input_width);
  if (part.cells.empty()) return {};
  int left = input_width, top = input_height, right = 0, bottom = 0;
  for (const int cell : part.cells) {
    left = std::min(left, cell % input_width);
    right = std::max(right, cell % input_width + 1);
    top = std::min(top, cell / input_width);
    bottom = std::max(bottom, cell / input_width + 1);
  }
  const double scale_x = (map.area.right - map.area.left) / input_width;
  const double scale_y = (map.area.bottom - map.area.top) / input_height;
  const auto lower = [](double edge, int limit) {
    return std::clamp(static_cast<int>(std::floor(edge + kRounding)), 0, limit);
  };
  const auto upper = [](double edge, int limit) {
    return std::clamp(static_cast<int>(std::ceil(edge - kRounding)), 0, limit);
  };
  const int from_x = lower(map.area.left + left * scale_x, picture_width);
  const int from_y = lower(map.area.top + top * scale_y, picture_height);
  const int to_x = upper(map.area.left + right * scale_x, picture_width);
  const int to_y = upper(map.area.top + bottom * scale_y, picture_height);
  // Evidence may lie in the padding of a small picture alone.
  if (from_x >= to_x || from_y >= to_y) return {};
  return {.left = from_x, .top = from_y, .width = to_x - from_x, .height = to_y - from_y};
}

Image DrawHeatmap(const ActivationView& map, int picture_height, int picture_width) {
  Image image(picture_width, picture_height);
  uint8_t* to = image.data();
  VisitPicture(map, picture_height, picture_width, [&](size_t, size_t, float heat) {
    for (const uint8_t channel : ColorOf(heat)) *to++ = channel;
  });
  return image;
}

void LayHeatmapOver(const ActivationView& map, Image& picture) {
  uint8_t* to = picture.data();
  VisitPicture(map, picture.height(), picture.width(), [&](size_t, size_t, float heat) {
    const float opacity = heat > 0 ? std::min(heat, 1.0f) * kMostOpaque : 0;
    for (const uint8_t channel : ColorOf(heat)) {
      const float below = *to;
      *to++ = static_cast<uint8_t>(below + (static_cast<float>(channel) - below) * opacity + 0.5f);
    }
  });
}

}  // namespace pixpool
