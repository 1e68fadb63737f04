// Pooling heads: the table of kinds with their parameters, and their validation. Torch-free; the
// computation of a single map is reached through ApplyHead in head_runner.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace pixpool {

// Value of a head parameter: bool, int, float, list of ints (one or two: height, width), or enum
// value by name
// ("softmax").
using ParamValue = std::variant<bool, int64_t, double, std::vector<int64_t>, std::string>;
using ParamMap = std::map<std::string, ParamValue, std::less<>>;

enum class ParamType { kBool, kInt, kFloat, kIntList, kEnum };

// One parameter of a head kind.
struct ParamSpec {
  std::string_view name;
  ParamType type;
  // Default in text form ("3", "true", "softmax"); empty: none. With `required` false and no
  // default the head derives it (stride from the kernel).
  std::string_view default_value;
  bool required = false;
  // Bounds of numbers and of list elements; min_open and max_open exclude the bound itself.
  double min = 0;
  double max = 0;
  bool min_open = false;
  bool max_open = false;
  // Allowed names of an enum, separated by '|'.
  std::string_view enum_values;
  // Whether the value decides the vector space (top_k and return_indices do not).
  bool in_space = true;

  std::string RangeText() const;  // "(0, 100]", "softmax|logits", "true|false"
};

enum class HeadOutputKind { kVector, kMap, kScores };

// A head as a request words it.
struct HeadRequest {
  std::string id;     // empty: named after the kind
  std::string kind;   // "gem"
  std::string layer;  // empty: the default layer
  ParamMap params;    // only what the request set
  bool l2_normalized = false;
};

// A validated head: all defaults filled in, layer resolved. Immutable from then on.
struct HeadSpec {
  std::string id;
  std::string kind;
  std::string layer;
  int layer_index = 0;  // position in the manifest's layers
  HeadOutputKind output = HeadOutputKind::kVector;
  ParamMap params;
  bool l2_normalized = false;
  // Layer, kind, parameters that decide the space, post-processing: one line of text. Heads with
  // the same canonical text give the same values on the same map, unless only an in_space = false
  // parameter differs.
  std::string canonical;
  std::string space_id;  // filled in by whoever knows the input plan, with MakeSpaceId
  int class_count = 0;   // of the classifier; 0 for heads that do not read it

  bool Bool(std::string_view name) const;
  int64_t Int(std::string_view name) const;
  double Float(std::string_view name) const;
  const std::vector<int64_t>& Ints(std::string_view name) const;  // empty if derived and not given
  const std::string& Enum(std::string_view name) const;
  bool Has(std::string_view name) const;
};

// What validation needs to know of the model.
struct HeadScope {
  struct Layer {
    std::string name;
    int channels;
    int stride;
  };
  absl::Span<const Layer> layers;
  std::string_view default_layer;
  std::string_view classifier_layer;  // empty: no classifier
  int class_count = 0;
};

struct HeadInput;    // head_compute.h
struct HeadTensors;  // head_compute.h

// A kind of head, a row of the table in heads.cc.
struct HeadType {
  std::string_view name;
  std::string_view description;
  HeadOutputKind output;
  std::vector<ParamSpec> params;
  // Fills the derived parameters and checks what spans parameters (padding against kernel); may be
  // null.
  absl::Status (*check)(HeadSpec& spec) = nullptr;
  // Whether the head can be applied to a map of this height and width; null: to any.
  absl::Status (*check_map)(const HeadSpec& spec, int64_t h, int64_t w) = nullptr;
  // Number of output values on a map [C, H, W], indices and scores included; 0 where check_map
  // fails.
  int64_t (*value_count)(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) = nullptr;
  // The head itself, on a batch of maps.
  HeadTensors (*compute)(const HeadSpec& spec, const HeadInput& input) = nullptr;
  // Whether negative activations are lost, which deserves a warning on layers that have them.
  bool loses_negatives = false;
};

// All kinds that this version computes, in the order of the API.
absl::Span<const HeadType> HeadTypes();
const HeadType* FindHeadType(std::string_view name);  // nullptr if there is none

// Checks one head and fills in its defaults. `id` stays empty if it was. Errors: HEAD_INVALID with
// the field relative to the head ("gem.p", "layer", "head_id"), LAYER_NOT_FOUND ("layer").
absl::StatusOr<HeadSpec> ValidateHead(const HeadRequest& request, const HeadScope& scope);

// Whether a validated head can be applied to a map of this height and width. HEAD_INVALID with
// field and sizes.
absl::Status CheckHeadOnMap(const HeadSpec& spec, int64_t h, int64_t w);

// Checks a list of heads: each one, unique ids, default ids ("gem", "gem_2"). Field paths start
// with "heads[i]". An empty list gives one global_avg.
absl::StatusOr<std::vector<HeadSpec>> ValidateHeads(absl::Span<const HeadRequest> requests,
                                                    const HeadScope& scope);

// One score of class_scores.
struct ClassScore {
  int class_index = 0;
  float score = 0;
};

// Result of one head on one image.
struct HeadOutput {
  std::vector<int64_t> shape;
  std::vector<float> values;       // empty for scores
  std::vector<int64_t> indices;    // where asked for
  std::vector<ClassScore> scores;  // class_scores only
  std::vector<std::string> warnings;
};

}  // namespace pixpool
