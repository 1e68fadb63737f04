// Made-up results for the tests of the command's output.
#pragma once

#include <string>
#include <vector>

#include "client/cli/writer.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::cli {

// A picture of 300 x 200 px with a global_avg head of `values` and, with `scores`, a class_scores
// head before it.
inline ImageOutcome MakeGood(size_t index, const std::string& path,
                             const std::vector<float>& values, bool scores = false) {
  ImageOutcome outcome;
  outcome.index = index;
  outcome.path = path;
  outcome.model.set_name("m");
  outcome.model.set_version("2");
  v1::Features& f = outcome.features;
  f.set_height_px(200);
  f.set_width_px(300);
  f.set_input_height_px(224);
  f.set_input_width_px(320);
  if (scores) {
    v1::HeadResult& head = *f.add_head_results();
    head.set_head_id("class_scores");
    head.set_kind("class_scores");
    head.add_shape(2);
    v1::ClassScore& first = *head.add_class_scores();
    first.set_class_index(285);
    first.set_label("Egyptian cat");
    first.set_score(0.75f);
    v1::ClassScore& second = *head.add_class_scores();
    second.set_class_index(7);
    second.set_score(0.125f);
  }
  v1::HeadResult& head = *f.add_head_results();
  head.set_head_id("global_avg");
  head.set_kind("global_avg");
  head.set_layer("stage5");
  head.set_space_id("0123456789abcdef0123456789abcdef");
  head.add_shape(static_cast<int64_t>(values.size()));
  head.mutable_values()->Add(values.begin(), values.end());
  f.mutable_stage_times()->mutable_decode()->set_nanos(1250000);
  f.mutable_stage_times()->mutable_backbone()->set_seconds(1);
  return outcome;
}

// The same picture with the map of one class; `png` empty: as floats.
inline ImageOutcome MakeMap(size_t index, const std::string& path, const std::string& png) {
  ImageOutcome outcome = MakeGood(index, path, {0.5f, -1, 0, 2});
  v1::HeadResult& head = *outcome.features.mutable_head_results(0);
  head.set_head_id("class_activation_map");
  head.set_kind("class_activation_map");
  head.clear_shape();
  if (png.empty()) {
    head.add_shape(2);
    head.add_shape(2);
  } else {
    head.clear_values();
  }
  v1::ActivationMap& map = *head.mutable_activation_map();
  map.mutable_class_score()->set_class_index(285);
  map.mutable_class_score()->set_label("Egyptian cat");
  map.mutable_class_score()->set_score(0.75f);
  map.set_png(png);
  map.mutable_box()->set_left_px(12);
  map.mutable_box()->set_top_px(30);
  map.mutable_box()->set_right_px(220);
  map.mutable_box()->set_bottom_px(190);
  return outcome;
}

inline ImageOutcome MakeBad(size_t index, const std::string& path, const absl::Status& status) {
  ImageOutcome outcome;
  outcome.index = index;
  outcome.path = path;
  outcome.status = status;
  return outcome;
}

}  // namespace pixpool::cli
