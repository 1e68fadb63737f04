// What each step of a request costs by itself, on one core (Google Benchmark):
//   PIXPOOL_PHOTO=photo.jpg build/release/bin/pixpool-micro --benchmark_filter=Decode
// Pictures are PIXPOOL_PHOTO at its own size; bench/micro runs it on the sample photographs.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>  // jpeglib.h needs it
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <jpeglib.h>

#include "server/batching/batcher.h"
#include "server/heads/heads.h"
#include "server/heads/pool_tensor.h"
#include "server/image/decode.h"
#include "server/image/resize.h"
#include "server/input/picture_inputs.h"
#include "server/input/preprocess.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/head_convert.h"

namespace pixpool {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "pixpool-micro: %s\n", std::string(value.status().message()).c_str());
  std::exit(1);
}

const std::string& Photo() {
  static const std::string* const bytes = [] {
    const char* const path = std::getenv("PIXPOOL_PHOTO");
    std::ifstream file(path == nullptr ? "" : path, std::ios::binary);
    auto* const read = new std::string((std::istreambuf_iterator<char>(file)), {});
    if (read->empty()) {
      std::fprintf(stderr, "pixpool-micro: PIXPOOL_PHOTO must name a picture\n");
      std::exit(1);
    }
    return read;
  }();
  return *bytes;
}

ImageHeader PhotoHeader() {
  return OrDie(ReadImageHeader(Photo(), {.max_bytes = INT32_MAX, .max_pixels = INT32_MAX}));
}

void Header(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ReadImageHeader(Photo(), {.max_bytes = INT32_MAX}));
}
BENCHMARK(Header);

// Argument: what the shorter side must keep; 0: the whole picture.
void Decode(benchmark::State& state) {
  const ImageHeader header = PhotoHeader();
  const int least = static_cast<int>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        DecodeImage(Photo(), header, {.min_width = least, .min_height = least}));
  }
  state.SetItemsProcessed(state.iterations() * header.width * header.height);
}
BENCHMARK(Decode)->ArgName("least")->Arg(0)->Arg(512)->Unit(benchmark::kMillisecond);

// Shorter side to 256, centre crop of 224: the default recipe.
void Resize(benchmark::State& state) {
  const Image picture = OrDie(DecodeImage(Photo(), PhotoHeader(), {}));
  for (auto _ : state) benchmark::DoNotOptimize(PreprocessCopy(picture, InputPlan()));
}
BENCHMARK(Resize)->Unit(benchmark::kMillisecond);

// Both as the server does them: the network's input from the file. Argument: how the picture is
// turned.
void Inputs(benchmark::State& state) {
  ImageHeader header = PhotoHeader();
  header.orientation = static_cast<int>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        OrDie(MakeInputs({.bytes = Photo(), .header = header}, *Clock::Real())));
  }
  state.SetItemsProcessed(state.iterations() * header.width * header.height);
}
BENCHMARK(Inputs)->ArgName("orientation")->Arg(1)->Arg(6)->Unit(benchmark::kMillisecond);

// libjpeg-turbo's own decode of the whole picture, row by row into the same memory: what no server
// is faster than that decodes all of it. The photograph must be a sound JPEG.
void Libjpeg(benchmark::State& state) {
  for (auto _ : state) {
    jpeg_decompress_struct lib{};
    jpeg_error_mgr errors{};
    lib.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&lib);
    jpeg_mem_src(&lib, reinterpret_cast<const unsigned char*>(Photo().data()), Photo().size());
    jpeg_read_header(&lib, TRUE);
    lib.out_color_space = JCS_RGB;
    jpeg_start_decompress(&lib);
    std::vector<JSAMPLE> row(size_t{lib.output_width} * 3);
    JSAMPROW rows[] = {row.data()};
    while (lib.output_scanline < lib.output_height) jpeg_read_scanlines(&lib, rows, 1);
    jpeg_finish_decompress(&lib);
    jpeg_destroy_decompress(&lib);
  }
}
BENCHMARK(Libjpeg)->Unit(benchmark::kMillisecond);

void BatcherRoundTrip(benchmark::State& state) {
  Batcher<int> batcher({.max_batch_size = 8, .max_delay = std::chrono::milliseconds(5)},
                       Clock::Real(), [](int&) { return false; });
  for (auto _ : state) {
    for (int i = 0; i < state.range(0); ++i) batcher.Submit(0, i);
    for (int64_t taken = 0; taken < state.range(0);) {
      taken += static_cast<int64_t>(batcher.Next()->size());
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BatcherRoundTrip)->ArgName("tasks")->Arg(1)->Arg(8)->Arg(64);

// A head on a map [1, channels, 7, 7] as PoolTensor has it, validation included.
void Head(benchmark::State& state, const char* kind) {
  const int64_t channels = state.range(0);
  constexpr int64_t kSide = 7;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> value(0, 1);
  std::vector<float> values(static_cast<size_t>(channels * kSide * kSide));
  for (float& v : values) v = value(random);
  const LayerInfo layer = {.name = "", .channels = static_cast<int>(channels), .stride = 1};
  const MapsView maps = {.values = values, .n = 1, .c = channels, .h = kSide, .w = kSide};
  for (auto _ : state) {
    const std::vector<HeadRequest> requests = {{.id = "", .kind = kind}};
    const auto heads = OrDie(ValidateHeads(requests, TensorScope(layer, false)));
    benchmark::DoNotOptimize(OrDie(PoolMaps(heads, maps)));
  }
}
#define PIXPOOL_HEAD(kind) BENCHMARK_CAPTURE(Head, kind, #kind)->Arg(64)->Arg(1280)
PIXPOOL_HEAD(global_avg);
PIXPOOL_HEAD(global_max);
PIXPOOL_HEAD(gem);
PIXPOOL_HEAD(rmac);
PIXPOOL_HEAD(crow);
PIXPOOL_HEAD(scda);
PIXPOOL_HEAD(spatial_pyramid);
PIXPOOL_HEAD(feature_map);

// A request with the picture and one head, from the wire to native and checked.
void RequestFromWire(benchmark::State& state) {
  v1::ExtractFeaturesRequest request;
  request.add_images()->set_encoded(Photo());
  request.add_heads()->mutable_gem()->set_p(3);
  const std::string wire = request.SerializeAsString();
  for (auto _ : state) {
    v1::ExtractFeaturesRequest parsed;
    parsed.ParseFromString(wire);
    benchmark::DoNotOptimize(OrDie(ExtractRequestFromProto(parsed)));
  }
}
BENCHMARK(RequestFromWire);

// An embedding of 1,280 values, from native to the wire.
void ReplyToWire(benchmark::State& state) {
  const HeadSpec head = {
      .type = FindHeadType("gem"), .id = "gem", .layer = "features", .space_id = "space"};
  for (auto _ : state) {
    v1::ExtractFeaturesResponse response;
    HeadOutput output = {.shape = {1280}, .values = std::vector<float>(1280, 0.5f)};
    v1::Features* const features = response.add_results()->mutable_features();
    HeadOutputToProto(head, {}, std::move(output), features->add_head_results());
    benchmark::DoNotOptimize(response.SerializeAsString());
  }
}
BENCHMARK(ReplyToWire);

}  // namespace
}  // namespace pixpool

BENCHMARK_MAIN();
