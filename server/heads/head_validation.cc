// From a head as a request words it to a head that can be computed.
#include <algorithm>
#include <set>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/graph_outputs.h"
#include "server/heads/head_params.h"
#include "server/heads/heads.h"
#include "server/heads/vectors.h"

namespace pixpool {
namespace {

constexpr size_t kMaxHeadIdLength = 64;

absl::Status HeadError(ErrorReason reason, std::string_view field, std::string_view message) {
  ErrorDetails details;
  details.reason = reason;
  details.field = std::string(field);
  return MakeError(details, message);
}

// Number of characters of a UTF-8 text.
size_t Utf8Length(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

absl::StatusOr<const HeadType*> ResolveKind(const HeadRequest& request) {
  if (const HeadType* type = FindHeadType(request.kind)) return type;
  std::string known;
  for (const HeadType& type : HeadTypes()) {
    known += Concat(known.empty() ? "" : ", ", type.name);
  }
  return HeadError(
      ErrorReason::kHeadInvalid, "kind",
      request.kind.empty()
          ? Concat("the head names no kind; set one of ", known)
          : Concat("'", request.kind, "' is not a head kind of this server; they are ", known));
}

absl::Status ResolveLayer(const HeadRequest& request, const HeadType& type, const HeadScope& scope,
                          HeadSpec& spec) {
  const std::string_view fallback =
      type.needs_classifier() ? scope.classifier_layer : scope.default_layer;
  spec.layer = request.layer.empty() ? std::string(fallback) : request.layer;
  const auto it = std::find_if(scope.layers.begin(), scope.layers.end(),
                               [&](const LayerInfo& l) { return l.name == spec.layer; });
  if (it != scope.layers.end()) {
    spec.layer_index = static_cast<int>(it - scope.layers.begin());
    spec.source.map = spec.layer_index;
    if (type.reads == HeadReads::kTokens) {
      spec.source.prefix_tokens =
          GraphOutputs(scope.layers, scope.vectors).PrefixTokens(spec.layer_index);
    }
    return absl::OkStatus();
  }
  ErrorDetails details;
  details.reason = ErrorReason::kLayerNotFound;
  details.field = "layer";
  details.metadata = {{"layer", spec.layer}};
  std::string known;
  for (const LayerInfo& layer : scope.layers) {
    known += Concat(known.empty() ? "" : ", ", layer.name);
  }
  return MakeError(details, Concat("the model has no layer '", spec.layer, "'; it has ", known));
}

// What a head reads, as far as its parameters do not say it.
absl::Status ResolveSource(const HeadRequest& request, const HeadType& type, const HeadScope& scope,
                           HeadSpec& spec) {
  const bool on_vector = type.reads == HeadReads::kVector ||
                         (type.needs_classifier() && scope.classifier_layer.empty());
  if (!on_vector) return ResolveLayer(request, type, scope, spec);
  spec.layer_index = -1;
  spec.source = {.map = -1};
  if (!request.layer.empty()) {
    return HeadError(ErrorReason::kHeadInvalid, "layer",
                     Concat(type.name, " reads a vector that the model gives, and no layer; leave ",
                            "layer empty"));
  }
  if (type.needs_classifier()) UseVector(scope.classifier_vector, scope, spec);
  return absl::OkStatus();
}

// Which map shows something without a class: "; mean_map with layer 'attention' shows ...".
std::string MapInstead(const HeadScope& scope) {
  if (!scope.has_model) return "";
  for (const LayerInfo& layer : scope.layers) {
    if (layer.name == kAttentionLayer) {
      return Concat("; mean_map with layer '", kAttentionLayer, "' shows where the model looks");
    }
  }
  return "; mean_map shows where a layer responds";
}

// What the model must have whatever the request says.
absl::Status CheckModelHas(const HeadType& type, const HeadScope& scope) {
  const auto error = [&](std::string_view what) {
    return HeadError(ErrorReason::kHeadInvalid, type.name, Concat(type.name, what));
  };
  const bool reads_model = type.reads == HeadReads::kTokens || type.reads == HeadReads::kVector;
  const bool is_map = type.output == HeadOutputKind::kActivationMap;
  const bool draws_model = is_map && !type.needs_classifier();
  if ((reads_model || draws_model) && !scope.has_model) return error(kNeedsModel);
  if (!type.needs_classifier()) return absl::OkStatus();
  const std::string instead = is_map ? MapInstead(scope) : "";
  if (scope.classifier_layer.empty() && scope.classifier_vector.empty()) {
    return error(Concat(" needs a model with a classifier, and there is none", instead));
  }
  if (is_map && scope.classifier_layer.empty()) {
    return error(
        Concat(" needs a classifier on the average of a map; that of this model stands on "
               "the vector '",
               scope.classifier_vector,
               "', in which no cell has a share of its own; class_scores works", instead));
  }
  return absl::OkStatus();
}

absl::Status CheckClassifierHead(const HeadScope& scope, HeadSpec& spec) {
  if (!spec.layer.empty() && spec.layer != scope.classifier_layer) {
    return HeadError(ErrorReason::kHeadInvalid, "layer",
                     Concat(spec.kind(), " reads layer '", scope.classifier_layer,
                            "', the one that the classifier was trained on, not '", spec.layer,
                            "'; leave layer empty"));
  }
  spec.class_count = scope.class_count;
  return absl::OkStatus();
}

// What happens to vectors has no meaning for scores, nor for maps of the picture.
absl::Status CheckNoVectorSteps(const HeadRequest& request, const HeadSpec& spec) {
  std::string_view field;
  if (request.l2_normalized) field = "l2_normalized";
  if (!request.projection.empty()) field = "projection";
  if (request.dimensions) field = "dimensions";
  if (request.encoding != Encoding::kFloat32) field = "encoding";
  if (!field.empty()) {
    return HeadError(ErrorReason::kHeadInvalid, field,
                     Concat(field, " is for vectors and feature maps; ", spec.kind(),
                            spec.type->needs_classifier() ? " has scores" : " is for the eye"));
  }
  return absl::OkStatus();
}

// "layer 'stage5'", "vector 'embedding'".
std::string SourceText(std::string_view layer, std::string_view vector) {
  return vector.empty() ? Concat("layer '", layer, "'") : Concat("vector '", vector, "'");
}

absl::StatusOr<std::shared_ptr<const Projection>> FindProjection(const HeadRequest& request,
                                                                 const HeadScope& scope,
                                                                 const HeadSpec& spec) {
  const auto error = [](std::string_view message) {
    return HeadError(ErrorReason::kHeadInvalid, "projection", message);
  };
  if (spec.output() != HeadOutputKind::kVector) {
    return error(Concat("a projection takes vectors; ", spec.kind(), " gives a map"));
  }
  std::string known;
  for (const auto& projection : scope.projections) {
    known += Concat(known.empty() ? "" : ", ", projection->name);
    if (projection->name != request.projection) continue;
    if (projection->layer != spec.layer || projection->vector != spec.vector) {
      return error(Concat("projection '", projection->name, "' was fitted on ",
                          SourceText(projection->layer, projection->vector), ", not ",
                          SourceText(spec.layer, spec.vector)));
    }
    // A vector head's length does not depend on the map's size.
    const int64_t channels = ExtentsOf(spec, scope.layers, Size(), 0).c;
    const int64_t length = spec.type->value_count(spec, channels, 1, 1);
    if (projection->input_dimensions != length) {
      return error(Concat("projection '", projection->name, "' takes ",
                          projection->input_dimensions, " values, ", spec.kind(), " gives ",
                          length));
    }
    return projection;
  }
  return error(
      known.empty()
          ? Concat("there is no projection '", request.projection, "'; there are none here")
          : Concat("there is no projection '", request.projection, "'; the model has ", known));
}

absl::StatusOr<PostProcessing> ResolvePost(const HeadRequest& request, const HeadScope& scope,
                                           const HeadSpec& spec) {
  PostProcessing post{.l2_normalized = request.l2_normalized, .encoding = request.encoding};
  if (request.projection.empty()) {
    if (!request.dimensions) return post;
    return HeadError(ErrorReason::kHeadInvalid, "dimensions",
                     "dimensions needs a projection: the channels of a CNN are in no order, so "
                     "the first ones are no better than others");
  }
  PIXPOOL_ASSIGN_OR_RETURN(post.projection, FindProjection(request, scope, spec));
  post.dimensions = request.dimensions.value_or(post.projection->output_dimensions);
  if (post.dimensions < 1 || post.dimensions > post.projection->output_dimensions) {
    return HeadError(
        ErrorReason::kHeadInvalid, "dimensions",
        Concat("dimensions is ", post.dimensions, "; projection '", post.projection->name,
               "' has 1 to ", post.projection->output_dimensions));
  }
  return post;
}

template <typename T>
const T& Get(const ParamMap& params, std::string_view name) {
  return std::get<T>(params.find(name)->second);
}

}  // namespace

std::string_view HeadSpec::kind() const { return type->name; }
HeadOutputKind HeadSpec::output() const { return type->output; }
bool HeadSpec::ReturnsIndices() const { return Has("return_indices") && Bool("return_indices"); }
bool HeadSpec::Has(std::string_view name) const { return params.find(name) != params.end(); }
bool HeadSpec::Bool(std::string_view name) const { return Get<bool>(params, name); }
int64_t HeadSpec::Int(std::string_view name) const { return Get<int64_t>(params, name); }
double HeadSpec::Float(std::string_view name) const { return Get<double>(params, name); }
const std::string& HeadSpec::Text(std::string_view name) const {
  return Get<std::string>(params, name);
}
const std::string& HeadSpec::Enum(std::string_view name) const {
  return Get<std::string>(params, name);
}
const std::vector<int64_t>& HeadSpec::Ints(std::string_view name) const {
  static const auto* const kNone = new std::vector<int64_t>;
  return Has(name) ? Get<std::vector<int64_t>>(params, name) : *kNone;
}

absl::StatusOr<HeadSpec> ValidateHead(const HeadRequest& request, const HeadScope& scope) {
  PIXPOOL_ASSIGN_OR_RETURN(const HeadType* type, ResolveKind(request));
  if (Utf8Length(request.id) > kMaxHeadIdLength) {
    return HeadError(ErrorReason::kHeadInvalid, "head_id",
                     Concat("head_id has ", Utf8Length(request.id), " characters; the limit is ",
                            kMaxHeadIdLength));
  }
  HeadSpec spec;
  spec.id = request.id;
  spec.type = type;
  PIXPOOL_RETURN_IF_ERROR(CheckModelHas(*type, scope));
  PIXPOOL_RETURN_IF_ERROR(ResolveSource(request, *type, scope, spec));
  if (type->needs_classifier()) {
    PIXPOOL_RETURN_IF_ERROR(CheckClassifierHead(scope, spec));
  }
  if (type->needs_classifier() || type->output == HeadOutputKind::kActivationMap) {
    PIXPOOL_RETURN_IF_ERROR(CheckNoVectorSteps(request, spec));
  }
  PIXPOOL_ASSIGN_OR_RETURN(spec.params, ResolveParams(*type, request.params));
  if (type->check != nullptr) PIXPOOL_RETURN_IF_ERROR(type->check(spec, scope));
  PIXPOOL_ASSIGN_OR_RETURN(spec.post, ResolvePost(request, scope, spec));
  spec.pooling =
      Concat(spec.vector.empty() ? Concat("layer=", spec.layer) : Concat("vector=", spec.vector),
             ";kind=", spec.kind(), ParamsText(*type, spec.params, true));
  if (spec.filter_index >= 0) {
    // The name says nothing of the weights; their digest does.
    spec.pooling += Concat(";filter=", scope.filters[spec.filter_index].sha256);
  }
  spec.canonical = spec.pooling + spec.post.Canonical();
  return spec;
}

absl::StatusOr<std::vector<HeadSpec>> ValidateHeads(absl::Span<const HeadRequest> requests,
                                                    const HeadScope& scope) {
  if (requests.empty()) {
    static const auto* const kDefault = new HeadRequest{.kind = "global_avg"};
    requests = absl::MakeConstSpan(kDefault, 1);
  }
  std::vector<HeadSpec> specs;
  std::set<std::string> ids;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::string prefix = Concat("heads[", i, "]");
    absl::StatusOr<HeadSpec> spec = ValidateHead(requests[i], scope);
    if (!spec.ok()) return PrependField(spec.status(), prefix);
    if (!spec->id.empty() && !ids.insert(spec->id).second) {
      return HeadError(ErrorReason::kHeadInvalid, Concat(prefix, ".head_id"),
                       Concat("head_id '", spec->id, "' is used twice; ids must be unique"));
    }
    specs.push_back(*std::move(spec));
  }
  // Given ids come first: a default never takes a name that the caller chose for another head.
  for (HeadSpec& spec : specs) {
    if (!spec.id.empty()) continue;
    std::string id(spec.kind());
    for (int n = 2; !ids.insert(id).second; ++n) id = Concat(spec.kind(), "_", n);
    spec.id = std::move(id);
  }
  return specs;
}

absl::Status CheckHeadOnMap(const HeadSpec& spec, int64_t h, int64_t w) {
  return spec.type->check_map == nullptr ? absl::OkStatus() : spec.type->check_map(spec, h, w);
}

HeadExtents ExtentsOf(const HeadSpec& spec, absl::Span<const LayerInfo> layers, Size input,
                      int64_t spare) {
  if (spec.layer_index < 0) return {.c = spec.vector_dimensions};
  const LayerInfo& layer = layers[static_cast<size_t>(spec.layer_index)];
  return {.c = layer.channels,
          .h = input.height / layer.stride + spare,
          .w = input.width / layer.stride + spare};
}

double HeadOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  if (spec.type->operations != nullptr) return spec.type->operations(spec, c, h, w);
  return static_cast<double>(c) * static_cast<double>(h) * static_cast<double>(w);
}

}  // namespace pixpool
