// The model bundle's manifest (docs/bundle.md): what a model is, before any of it is loaded. No
// torch here.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/bundle/input_sizes.h"

namespace pixpool {

enum class ResizeMode { kShorterSide, kExact, kNone };
enum class CropMode { kCenter, kNone };
enum class Interpolation { kBilinear, kBicubic };  // both antialiased, as Pillow's

std::string_view ResizeModeName(ResizeMode mode);     // "shorter_side", "exact", "none"
std::string_view CropModeName(CropMode mode);         // "center", "none"
std::string_view InterpolationName(Interpolation i);  // "bilinear", "bicubic"

// Smallest input side that a request may ask for, unless the engine's file needs more.
inline constexpr int kMinInputSide = 16;

// How pictures become network input unless a request says otherwise.
struct InputRecipe {
  ResizeMode resize = ResizeMode::kShorterSide;
  int resize_size = 256;  // length of the shorter side in pixels
  Interpolation interpolation = Interpolation::kBicubic;
  CropMode crop = CropMode::kCenter;
  int height = 224;
  int width = 224;
  // Both sides after kExact; 0: those of the input. Larger ones leave something to crop.
  int exact_height = 0;
  int exact_width = 0;
  // Those that a request may ask for; height and width are among them.
  InputSizes sizes;
  // Smallest input side that a request may ask for; the chosen engine's.
  int min_side = kMinInputSide;
  // Whether the network sees pictures without their colours, before anything else is done to them.
  // Its input is as for colours, with three equal levels a pixel.
  bool grey = false;
  // Applied inside the graph, on the 0 to 255 scale; here for information and for the space id.
  std::array<float, 3> mean = {0, 0, 0};
  std::array<float, 3> std = {1, 1, 1};
};

// A named map of the backbone.
struct LayerInfo {
  std::string name;
  int channels = 0;
  int stride = 1;             // input pixels between neighbouring cells
  bool non_negative = false;  // whether no activation can be negative
  // Of a transformer's block: tokens before those of the map, and whether the first of them is the
  // class token. The others are registers, or a distillation token.
  int prefix_tokens = 0;
  bool class_token = false;
};

// A vector that the graph gives for each picture.
struct VectorInfo {
  std::string name;  // kEmbedding, or that of a trained head of the bundle
  int dimensions = 0;
};

// The vector that the call of the model's authors returns.
inline constexpr std::string_view kEmbedding = "embedding";

// A file of the bundle and its digest.
struct BundleFile {
  std::string path;    // relative to the bundle's folder
  std::string sha256;  // of the content, hexadecimal
};

// A backbone in one engine's format.
struct EngineFile {
  std::string engine;     // such as "torchscript"
  std::string precision;  // "float32", "int8"
  std::string path;       // the main file; listed in files too
  // Bound of the golden picture in place of GoldenInfo's: int8 is not as near to PyTorch.
  std::optional<double> golden_min_cosine;
  // Compiled engines: what the file is compiled for, and what input it takes.
  std::string device;           // "cpu", "cuda"; empty: any
  std::string instruction_set;  // of the CPU, such as "x86-64-v3"; empty: nothing beyond the usual
  int min_side = 1;             // smallest height and width
  // A faster file for input whose sides are multiples of a number; empty: there is none.
  std::string aligned_path;
  int aligned_multiple = 1;
};

// Linear classifier over the globally averaged map of one layer, or over a vector.
struct ClassifierInfo {
  std::string layer;   // empty: over a vector
  std::string vector;  // empty: over a layer
  int class_count = 0;
  std::string
      weight_path;        // float32 little-endian, row-major [class_count, channels or dimensions]
  std::string bias_path;  // float32 little-endian [class_count]
  std::string labels_path;  // UTF-8, one label per line
};

// A PCA-whitening, matrix * (x - mean), for L2-normalised vectors of one layer, or for a vector of
// the graph.
struct ProjectionInfo {
  std::string name;
  std::string layer;            // empty: for a vector of the graph
  std::string vector;           // empty: for a layer
  std::string head;             // kind that it was fitted on
  std::string head_parameters;  // of that head, a JSON object; empty: not stated
  int64_t input_dimensions = 0;
  int64_t output_dimensions = 0;
  int64_t pictures = 0;           // that it was fitted on
  double explained_variance = 0;  // share that all its dimensions keep, 0 to 1
  std::string mean_path;          // float32 little-endian [input_dimensions]
  std::string matrix_path;        // float32 little-endian [output_dimensions, input_dimensions]
};

// A trained convolution filter for the maps of one layer, as torch.nn.Conv2d without padding.
struct FilterInfo {
  std::string name;
  std::string layer;
  std::array<int64_t, 2> kernel_size = {1, 1};  // height, width
  std::array<int64_t, 2> stride = {1, 1};       // where a request names none
  int64_t groups = 1;
  int64_t output_channels = 0;
  std::string weight_path;  // float32 little-endian [output_channels, channels / groups, kh, kw]
  std::string bias_path;    // float32 little-endian [output_channels]; empty: no bias
  std::string sha256;       // of the files' digests: what was learnt
};

// A small picture and what it must give.
struct GoldenInfo {
  std::string image_path;  // PNG
  std::string layer;
  std::string
      values_path;  // float32 little-endian [channels]: global_avg of the layer, recipe as it is
  struct Vector {
    std::string name;         // one of Manifest::vectors
    std::string values_path;  // float32 little-endian [dimensions]
  };
  std::vector<Vector> vectors;  // what the graph gives beside the layers; may lack some
  double min_cosine = 0.9999;   // of each
};

struct Manifest {
  int format_version = 1;
  std::string name;
  std::string version;
  std::string license;
  std::string weights_sha256;
  InputRecipe input;
  std::vector<LayerInfo> layers;
  std::vector<VectorInfo> vectors;
  std::string default_layer;
  std::vector<EngineFile> engines;
  // Whether it says what part of the model's parameters the bundle holds; older ones do not.
  bool states_parameters = false;
  bool has_classifier = false;
  ClassifierInfo classifier;
  std::vector<ProjectionInfo> projections;
  std::vector<FilterInfo> filters;
  bool has_golden = false;
  GoldenInfo golden;
  std::vector<BundleFile> files;

  const LayerInfo* FindLayer(std::string_view name) const;    // nullptr if there is none
  const VectorInfo* FindVector(std::string_view name) const;  // likewise
  // Digest of a listed file; empty if it is not listed.
  std::string FileDigest(std::string_view path) const;
};

// Parses a manifest; every problem is named with its JSON path. FAILED_PRECONDITION for a
// format_version that this server does not know, INVALID_ARGUMENT for anything else.
absl::StatusOr<Manifest> ParseManifest(const std::string& json);

// A bundle on disk whose files have the digests that its manifest states.
struct Bundle {
  std::string dir;
  Manifest manifest;
};

// Reads dir/manifest.json and checks the digest of every file it lists, and that name and version
// equal the names of the folders. Paths that leave the folder (absolute, "..", symbolic links) are
// refused.
absl::StatusOr<Bundle> OpenBundle(const std::string& dir);

// A bundle found in a model repository, not yet opened.
struct BundleLocation {
  std::string name;
  std::string version;
  std::string dir;
};

// A folder of the repository that could not be looked into, such as the lost+found of a volume.
struct UnreadableFolder {
  std::string name;  // of a model, if it is one
  std::string why;
};

struct FoundBundles {
  std::vector<BundleLocation> bundles;  // by name, then version: numeric versions by value
  std::vector<UnreadableFolder> unreadable;
};

// Finds every <root>/<name>/<version>/manifest.json; folders whose names begin with a dot are left
// out. NOT_FOUND where `root` cannot be read.
absl::StatusOr<FoundBundles> FindBundles(const std::string& root);

}  // namespace pixpool
