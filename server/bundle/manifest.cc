#include "server/bundle/manifest.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "server/base/text.h"
#include "server/bundle/json_reader.h"

namespace pixpool {
namespace {

constexpr int kKnownFormatVersion = 1;
constexpr int kMaxSide = 16'384;
constexpr int kMaxChannels = 1 << 20;
constexpr int64_t kMaxDimensions = int64_t{1} << 24;
constexpr int kMaxWindow = 1024;  // as in the table of heads
constexpr int kMaxPrefixTokens = 1024;

// Names become parts of file paths, metric labels and canonical texts, so they are plain.
bool IsPlainName(std::string_view name) {
  if (name.empty() || name.size() > 128 || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// Whether a path stays inside the bundle's folder by its wording alone; links are found in
// OpenBundle.
bool IsInsidePath(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\\') != path.npos ||
      path.find('\0') != path.npos) {
    return false;
  }
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

std::string PlainName(const JsonObject& object, std::string_view key) {
  std::string name = object.Text(key);
  if (!name.empty() && !IsPlainName(name)) {
    object.Problem(key, "must be letters, digits, '.', '_' and '-', at most 128, no leading '.'");
  }
  return name;
}

std::string Digest(const JsonObject& object, std::string_view key) {
  std::string digest = object.Text(key);
  if (!digest.empty() && !IsSha256(digest)) {
    object.Problem(key, "must be 64 lower-case hexadecimal digits");
  }
  return digest;
}

// Reads the parts of a manifest in turn. Later parts refer to the layers and files of earlier ones.
class ManifestReader {
 public:
  explicit ManifestReader(const JsonObject& root) : root_(root) {}

  Manifest Read() {
    m_.name = PlainName(root_, "name");
    m_.version = PlainName(root_, "version");
    m_.license = root_.Text("license");
    m_.weights_sha256 = Digest(root_, "weights_sha256");
    ReadInput(root_.Object("input"));
    ReadFiles();
    ReadLayers();
    if (root_.Has("vectors")) ReadVectors();
    ReadEngines();
    m_.states_parameters = root_.Has("parameters");
    if (root_.Has("classifier")) ReadClassifier(root_.Object("classifier"));
    if (root_.Has("projections")) ReadProjections();
    if (root_.Has("filters")) ReadFilters();
    if (root_.Has("golden")) ReadGolden(root_.Object("golden"));
    return std::move(m_);
  }

 private:
  void ReadInput(const JsonObject& input) {
    InputRecipe& r = m_.input;
    r.resize = static_cast<ResizeMode>(input.Choice("resize", {"shorter_side", "exact", "none"}));
    if (r.resize == ResizeMode::kShorterSide || input.Has("resize_size")) {
      r.resize_size = static_cast<int>(input.Int("resize_size", 1, kMaxSide));
    }
    r.interpolation =
        static_cast<Interpolation>(input.Choice("interpolation", {"bilinear", "bicubic"}));
    r.crop = static_cast<CropMode>(input.Choice("crop", {"center", "none"}));
    r.height = static_cast<int>(input.Int("height", 1, kMaxSide));
    r.width = static_cast<int>(input.Int("width", 1, kMaxSide));
    for (const auto& [key, side] :
         {std::pair("resize_height", &r.exact_height), std::pair("resize_width", &r.exact_width)}) {
      if (input.Has(key)) *side = static_cast<int>(input.Int(key, 1, kMaxSide));
    }
    if (input.Has("color")) r.grey = input.Choice("color", {"rgb", "grey"}) == 1;
    if (input.Has("sizes")) ReadSizes(input.Object("sizes"));
    r.mean = input.Triple("mean", -1e6);
    r.std = input.Triple("std", 1e-6);
  }

  void ReadSizes(const JsonObject& object) {
    InputRecipe& r = m_.input;
    if (object.Has("only")) {
      for (const JsonObject& entry : object.Objects("only")) {
        const auto height = static_cast<int>(entry.Int("height", 1, kMaxSide));
        const auto width = static_cast<int>(entry.Int("width", 1, kMaxSide));
        r.sizes.only.emplace_back(height, width);
      }
    } else {
      r.sizes.multiple = static_cast<int>(object.Int("multiple", 1, kMaxSide));
    }
    if (!r.sizes.Takes(r.height, r.width)) {
      object.Problem(r.sizes.only.empty() ? "multiple" : "only",
                     Concat("must take the recipe's own size, ", r.height, " x ", r.width));
    }
  }

  void ReadFiles() {
    for (const JsonObject& entry : root_.Objects("files")) {
      BundleFile file{entry.Text("path"), Digest(entry, "sha256")};
      if (!file.path.empty() && !IsInsidePath(file.path)) {
        entry.Problem("path", "must stay inside the bundle's folder: relative, without '..'");
      } else if (!file.path.empty() && !paths_.insert(file.path).second) {
        entry.Problem("path", Concat("'", file.path, "' is listed twice"));
      }
      m_.files.push_back(std::move(file));
    }
  }

  void ReadLayers() {
    std::set<std::string> names;
    for (const JsonObject& entry : root_.Objects("layers")) {
      LayerInfo layer;
      layer.name = UniqueName(entry, names);
      layer.channels = static_cast<int>(entry.Int("channels", 1, kMaxChannels));
      layer.stride = static_cast<int>(entry.Int("stride", 1, kMaxSide));
      layer.non_negative = entry.Bool("non_negative");
      if (entry.Has("prefix_tokens")) {
        layer.prefix_tokens = static_cast<int>(entry.Int("prefix_tokens", 0, kMaxPrefixTokens));
      }
      if (entry.Has("class_token")) layer.class_token = entry.Bool("class_token");
      if (layer.class_token && layer.prefix_tokens == 0) {
        entry.Problem("class_token", "is true, but prefix_tokens, which counts it, is 0");
      }
      m_.layers.push_back(std::move(layer));
    }
    m_.default_layer = LayerName(root_, "default_layer");
  }

  void ReadVectors() {
    std::set<std::string> names;
    for (const JsonObject& entry : root_.Objects("vectors")) {
      VectorInfo vector;
      vector.name = UniqueName(entry, names);
      vector.dimensions = static_cast<int>(entry.Int("dimensions", 1, kMaxDimensions));
      m_.vectors.push_back(std::move(vector));
    }
  }

  void ReadEngines() {
    for (const JsonObject& entry : root_.Objects("engines")) {
      EngineFile file = {.engine = entry.Text("engine"),
                         .precision = entry.Text("precision"),
                         .path = ListedPath(entry, "path")};
      if (entry.Has("golden_min_cosine")) {
        file.golden_min_cosine = entry.Number("golden_min_cosine", 0, 1);
      }
      if (entry.Has("device")) {
        file.device = entry.Choice("device", {"cpu", "cuda"}) == 0 ? "cpu" : "cuda";
      }
      if (entry.Has("instruction_set")) file.instruction_set = PlainName(entry, "instruction_set");
      if (entry.Has("min_side")) {
        file.min_side = static_cast<int>(entry.Int("min_side", 1, kMaxSide));
      }
      if (entry.Has("aligned")) {
        const JsonObject aligned = entry.Object("aligned");
        file.aligned_path = ListedPath(aligned, "path");
        file.aligned_multiple = static_cast<int>(aligned.Int("multiple", 1, kMaxSide));
      }
      m_.engines.push_back(std::move(file));
    }
  }

  void ReadClassifier(const JsonObject& object) {
    m_.has_classifier = true;
    ClassifierInfo& c = m_.classifier;
    ReadSource(object, &c.layer, &c.vector);
    c.class_count = static_cast<int>(object.Int("class_count", 1, kMaxChannels));
    c.weight_path = ListedPath(object, "weight");
    c.bias_path = ListedPath(object, "bias");
    if (object.Has("labels")) c.labels_path = ListedPath(object, "labels");
  }

  void ReadProjections() {
    std::set<std::string> names;
    for (const JsonObject& entry : root_.Objects("projections")) {
      ProjectionInfo p;
      p.name = UniqueName(entry, names);
      ReadSource(entry, &p.layer, &p.vector);
      p.head = entry.Text("head");
      if (entry.Has("head_parameters")) p.head_parameters = entry.Json("head_parameters");
      p.input_dimensions = entry.Int("input_dimensions", 1, kMaxDimensions);
      p.output_dimensions = entry.Int("output_dimensions", 1, p.input_dimensions);
      p.pictures = entry.Int("pictures", 1, INT64_MAX);
      p.explained_variance = entry.Number("explained_variance", 0, 1);
      p.mean_path = ListedPath(entry, "mean");
      p.matrix_path = ListedPath(entry, "matrix");
      m_.projections.push_back(std::move(p));
    }
  }

  void ReadFilters() {
    std::set<std::string> names;
    for (const JsonObject& entry : root_.Objects("filters")) {
      FilterInfo f;
      f.name = UniqueName(entry, names);
      f.layer = LayerName(entry, "layer");
      f.kernel_size = entry.Sides("kernel_size", 1, kMaxWindow);
      f.stride = entry.Sides("stride", 1, kMaxWindow);
      f.groups = entry.Int("groups", 1, kMaxChannels);
      f.output_channels = entry.Int("output_channels", 1, kMaxChannels);
      const LayerInfo* layer = m_.FindLayer(f.layer);
      if (layer != nullptr &&
          (layer->channels % f.groups != 0 || f.output_channels % f.groups != 0)) {
        entry.Problem("groups",
                      Concat("is ", f.groups, ", which must divide the layer's ", layer->channels,
                             " channels and the ", f.output_channels, " output channels"));
      }
      f.weight_path = ListedPath(entry, "weight");
      if (entry.Has("bias")) f.bias_path = ListedPath(entry, "bias");
      f.sha256 = m_.FileDigest(f.weight_path);
      if (!f.bias_path.empty()) f.sha256 = Concat(f.sha256, ",", m_.FileDigest(f.bias_path));
      m_.filters.push_back(std::move(f));
    }
  }

  std::string UniqueName(const JsonObject& entry, std::set<std::string>& names) {
    std::string name = PlainName(entry, "name");
    if (!name.empty() && !names.insert(name).second) {
      entry.Problem("name", Concat("'", name, "' is used twice"));
    }
    return name;
  }

  void ReadGolden(const JsonObject& object) {
    m_.has_golden = true;
    GoldenInfo& g = m_.golden;
    g.image_path = ListedPath(object, "image");
    g.layer = LayerName(object, "layer");
    g.values_path = ListedPath(object, "values");
    if (object.Has("vectors")) {
      std::set<std::string> names;
      for (const JsonObject& entry : object.Objects("vectors")) {
        std::string name = UniqueName(entry, names);
        if (!name.empty() && m_.FindVector(name) == nullptr) {
          entry.Problem("name", Concat("'", name, "' is not one of $.vectors"));
        }
        g.vectors.push_back({std::move(name), ListedPath(entry, "values")});
      }
    }
    g.min_cosine = object.Number("min_cosine", 0, 1);
  }

  std::string LayerName(const JsonObject& object, std::string_view key) {
    std::string name = object.Text(key);
    if (!name.empty() && m_.FindLayer(name) == nullptr) {
      object.Problem(key, Concat("'", name, "' is not one of $.layers"));
    }
    return name;
  }

  // What stands on a layer's map, or on a vector.
  void ReadSource(const JsonObject& object, std::string* layer, std::string* vector) {
    if (!object.Has("vector")) {
      *layer = LayerName(object, "layer");
      return;
    }
    *vector = object.Text("vector");
    if (!vector->empty() && m_.FindVector(*vector) == nullptr) {
      object.Problem("vector", Concat("'", *vector, "' is not one of $.vectors"));
    }
    if (object.Has("layer")) object.Problem("layer", "must not be there beside vector");
  }

  // A file without a digest must never be read.
  std::string ListedPath(const JsonObject& object, std::string_view key) {
    std::string path = object.Text(key);
    if (!path.empty() && !paths_.contains(path)) {
      object.Problem(key, Concat("'", path, "' is not listed in $.files"));
    }
    return path;
  }

  const JsonObject& root_;
  Manifest m_;
  std::set<std::string> paths_;
};

}  // namespace

std::string_view ResizeModeName(ResizeMode mode) {
  switch (mode) {
    case ResizeMode::kShorterSide:
      return "shorter_side";
    case ResizeMode::kExact:
      return "exact";
    case ResizeMode::kNone:
      return "none";
  }
  return "";
}

std::string_view CropModeName(CropMode mode) {
  return mode == CropMode::kCenter ? "center" : "none";
}

std::string_view InterpolationName(Interpolation i) {
  return i == Interpolation::kBilinear ? "bilinear" : "bicubic";
}

const LayerInfo* Manifest::FindLayer(std::string_view layer_name) const {
  for (const LayerInfo& layer : layers) {
    if (layer.name == layer_name) return &layer;
  }
  return nullptr;
}

const VectorInfo* Manifest::FindVector(std::string_view vector_name) const {
  for (const VectorInfo& vector : vectors) {
    if (vector.name == vector_name) return &vector;
  }
  return nullptr;
}

std::string Manifest::FileDigest(std::string_view path) const {
  for (const BundleFile& file : files) {
    if (file.path == path) return file.sha256;
  }
  return "";
}

absl::StatusOr<Manifest> ParseManifest(const std::string& json) {
  const auto document = nlohmann::json::parse(json, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    return absl::InvalidArgumentError("manifest.json is not valid JSON");
  }
  JsonProblems problems;
  const JsonObject root(&document, "$", &problems);
  const int64_t format = root.Int("format_version", 1, INT32_MAX);
  if (problems.list.empty() && format != kKnownFormatVersion) {
    return absl::FailedPreconditionError(Concat("$.format_version: is ", format,
                                                ", this server reads version ", kKnownFormatVersion,
                                                "; export the bundle again or update the server"));
  }
  Manifest manifest = ManifestReader(root).Read();
  manifest.format_version = static_cast<int>(format);
  if (!problems.list.empty()) {
    return absl::InvalidArgumentError(
        Concat("manifest.json: ", absl::StrJoin(problems.list, "; ")));
  }
  return manifest;
}

}  // namespace pixpool
