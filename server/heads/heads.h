// Pooling heads: what a kind of head is, what a request says of one, and what validation makes of
// it. Torch-free; the computation on plain floats is reached through pool_tensor.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/bundle/manifest.h"
#include "server/heads/postprocess.h"
#include "server/image/image.h"

namespace pixpool {

// Value of a head parameter: bool, int, float, list of ints, or text (an enum's value by name,
// "softmax").
using ParamValue = std::variant<bool, int64_t, double, std::vector<int64_t>, std::string>;
using ParamMap = std::map<std::string, ParamValue, std::less<>>;

enum class ParamType { kBool, kInt, kFloat, kIntList, kEnum, kText };

// One parameter of a head kind.
struct ParamSpec {
  std::string_view name;
  ParamType type;
  std::string_view help;  // one line, without range and default
  // Default in text form ("3", "true", "softmax"); empty: none. With `required` false and no
  // default the head derives it by default_rule ("kernel_size").
  std::string_view default_value;
  std::string_view default_rule;
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
  // Most entries of a list; 0: it is a value for both axes, or one for height and one for width.
  size_t max_entries = 0;

  std::string RangeText() const;  // "(0, 100]", "softmax|logits", "true|false"
};

// The layer in which the exporter gives the attention of a transformer's class token.
inline constexpr std::string_view kAttentionLayer = "attention";

enum class HeadOutputKind { kVector, kMap, kScores, kActivationMap };

// What a kind of head reads: the map of a layer, the tokens of a layer with those before the map's,
// a vector that the graph gives, or what the model's classifier stands on.
enum class HeadReads { kMap, kTokens, kVector, kClassifier };

std::string_view HeadReadsName(HeadReads reads);  // "map", "tokens", "vector", "classifier"

struct HeadType;

// A head as a request words it.
struct HeadRequest {
  std::string id;     // empty: named after the kind
  std::string kind;   // "gem"
  std::string layer;  // empty: the default layer, or the classifier's
  ParamMap params;    // only what the request set
  bool l2_normalized = false;
  std::string projection;             // empty: none
  std::optional<int64_t> dimensions;  // of the projection; absent: all
  Encoding encoding = Encoding::kFloat32;
};

// The outputs of the graph that a head reads, as positions; -1: none of that kind.
struct HeadSource {
  int map = 0;
  int prefix_tokens = -1;
  int vector = -1;
};

// Extents of what a head reads of a picture: a map [c, h, w]; of a vector, [dimensions, 1, 1].
struct HeadExtents {
  int64_t c = 0;
  int64_t h = 1;
  int64_t w = 1;
};

// A validated head: all defaults filled in, layer resolved. Immutable from then on.
struct HeadSpec {
  const HeadType* type = nullptr;  // its row of the table; lives as long as the process
  std::string id;
  std::string layer;    // empty for a head on a vector
  int layer_index = 0;  // position in the manifest's layers; -1 for a head on a vector
  std::string vector;   // empty for a head on a layer
  int64_t vector_dimensions = 0;
  HeadSource source;
  ParamMap params;
  PostProcessing post;
  // Layer or vector, kind and parameters that decide the space: heads with the same text give the
  // same values on the same map, unless only an in_space = false parameter differs.
  std::string pooling;
  // The same with the post-processing: one line of text that decides the vector space.
  std::string canonical;
  std::string space_id;   // filled in by whoever knows the input plan, with MakeSpaceId
  int class_count = 0;    // of the classifier; 0 for heads that do not read it
  int filter_index = -1;  // of conv_pool: position in the model's filters; -1: the mean filter
  int64_t output_channels = 0;  // of conv_pool's filter
  bool given_indices = false;   // of max_unpool: the caller has pooled already
  int64_t token_index = 0;      // of class_token: position among the prefix tokens

  std::string_view kind() const;  // "gem"
  HeadOutputKind output() const;
  // Whether positions of maxima come with the values.
  bool ReturnsIndices() const;

  bool Bool(std::string_view name) const;
  int64_t Int(std::string_view name) const;
  double Float(std::string_view name) const;
  const std::vector<int64_t>& Ints(std::string_view name) const;  // empty if derived and not given
  const std::string& Enum(std::string_view name) const;
  const std::string& Text(std::string_view name) const;
  bool Has(std::string_view name) const;
};

// What validation needs to know of the model, or of a tensor that comes without one. Views.
struct HeadScope {
  absl::Span<const LayerInfo> layers;
  std::string_view default_layer;
  absl::Span<const VectorInfo> vectors;
  std::string_view classifier_layer;   // empty: no classifier, or one on a vector
  std::string_view classifier_vector;  // empty: no classifier, or one on a layer
  int class_count = 0;                 // 0: no classifier
  absl::Span<const std::shared_ptr<const Projection>> projections;
  absl::Span<const FilterInfo> filters;
  bool given_indices = false;  // max_unpool gets the caller's indices
  bool has_model = true;       // false: a tensor that comes without one
};

// After a head's name, where a tensor alone is not enough.
inline constexpr std::string_view kNeedsModel = " needs a model; a tensor comes without one";

struct HeadInput;    // head_compute.h
struct HeadTensors;  // head_compute.h

// A kind of head: a row of the table, stated in its file of server/heads/kinds. Clients and docs
// are made from it (--print-heads).
struct HeadType {
  std::string_view name;         // of its field in the proto; set by the table
  std::string_view description;  // one sentence
  std::string_view use;          // what it is good for, one line
  std::string_view reference;    // paper or torch module; empty: none
  std::string_view shape;        // of its values: "C", "C x oH x oW"
  HeadOutputKind output;
  HeadReads reads = HeadReads::kMap;
  std::vector<ParamSpec> params;
  // Whether a model has anything for the head; null: every model has.
  bool (*fits)(const HeadScope& scope) = nullptr;
  // Fills the derived parameters, finds tokens or vector, and checks what spans parameters (padding
  // against kernel) or needs the scope; may be null.
  absl::Status (*check)(HeadSpec& spec, const HeadScope& scope) = nullptr;
  // Whether the head can be applied to a map of this height and width; null: to any.
  absl::Status (*check_map)(const HeadSpec& spec, int64_t h, int64_t w) = nullptr;
  // Number of output values on a map [C, H, W], indices and scores included; 0 where check_map
  // fails.
  int64_t (*value_count)(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) = nullptr;
  // The head itself, on a batch of maps.
  HeadTensors (*compute)(const HeadSpec& spec, const HeadInput& input) = nullptr;
  // Values that the head reads, roughly, repetitions included; null: each one once. `cost` says
  // it in words.
  double (*operations)(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) = nullptr;
  std::string_view cost = "each value once";
  // What becomes of negative activations, "lifts them to eps", where that deserves a warning on
  // layers that have them; empty or null where it does not.
  std::string (*negatives)(const HeadSpec& spec) = nullptr;
  // Whether a tensor to pool may bring indices for it.
  bool takes_indices = false;

  bool needs_classifier() const { return reads == HeadReads::kClassifier; }
};

// All kinds that this version computes, in the order of the API.
absl::Span<const HeadType> HeadTypes();
const HeadType* FindHeadType(std::string_view name);  // nullptr if there is none

// Whether a model has anything that this kind can be applied to.
bool HeadFits(const HeadType& type, const HeadScope& scope);

// Checks one head and fills in its defaults. `id` stays empty if it was. Errors: HEAD_INVALID with
// the field relative to the head ("gem.p", "layer", "head_id"), LAYER_NOT_FOUND ("layer").
absl::StatusOr<HeadSpec> ValidateHead(const HeadRequest& request, const HeadScope& scope);

// Whether a validated head can be applied to a map of this height and width. HEAD_INVALID with
// field and sizes.
absl::Status CheckHeadOnMap(const HeadSpec& spec, int64_t h, int64_t w);

// What a validated head reads of an input of this size. Backbones round their maps up or down:
// `spare` more cells on each axis.
HeadExtents ExtentsOf(const HeadSpec& spec, absl::Span<const LayerInfo> layers, Size input,
                      int64_t spare);

// Values that a validated head reads on a map of this size, roughly.
double HeadOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

// The warning about a head on a map with negative activations; empty where there is none. `where`
// names the map: "layer 'stage5'".
std::string NegativesWarning(const HeadSpec& spec, std::string_view where);

// Checks a list of heads: each one, unique ids, default ids ("gem", "gem_2"). Field paths start
// with "heads[i]". An empty list gives one global_avg.
absl::StatusOr<std::vector<HeadSpec>> ValidateHeads(absl::Span<const HeadRequest> requests,
                                                    const HeadScope& scope);

// One score of a classifier.
struct ClassScore {
  int class_index = 0;
  float score = 0;
};

// Result of one head on one image.
struct HeadOutput {
  std::vector<int64_t> shape;
  std::vector<float> values;       // empty for scores and where packed
  std::vector<int64_t> indices;    // where asked for
  std::vector<ClassScore> scores;  // class_scores; the one class of class_activation_map
  std::string packed;              // the values in another encoding than float32
  float scale = 0;                 // of int8
  std::vector<std::string> warnings;
  // Of class_activation_map and mean_map, filled in by whoever knows the picture.
  Region box;
  std::string png;
};

// What follows the last pass over a picture: projection and encoding, in place.
void FinishHead(const HeadSpec& spec, HeadOutput& output);

}  // namespace pixpool
