// The one file that includes libde265.
#include "server/image/hevc_decoder.h"

#include "server/image/codec.h"

#ifdef PIXPOOL_HAS_HEIC
#include <libde265/de265.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "server/image/heif_boxes.h"

namespace pixpool {
namespace {

constexpr size_t kAlignment = 64;
// Behind each plane, for reads of whole vectors.
constexpr size_t kPadding = 64;
// How often libheif asks for a picture, of data that libde265 stumbles over.
constexpr int kTries = 50;

struct FreeAligned {
  void operator()(uint8_t* memory) const {
    ::operator delete[](memory, std::align_val_t{kAlignment});
  }
};
using AlignedBytes = std::unique_ptr<uint8_t[], FreeAligned>;

AlignedBytes Allocate(size_t size) {
  return AlignedBytes(
      static_cast<uint8_t*>(::operator new[](size, std::align_val_t{kAlignment}, std::nothrow)));
}

// Bytes like no picture's, the same each time. Memory is filled with it before a picture is decoded
// into it, so that what the data leaves out can be told from what it paints: libde265 would show
// what other pictures have left there.
class Filling {
 public:
  static const Filling& Get() {
    static const Filling filling;
    return filling;
  }
  // The bytes of a row.
  const uint8_t* Row(size_t y) const { return bytes_ + y * 131 % kShifts; }
  static constexpr size_t kPiece = 4096;

 private:
  static constexpr size_t kShifts = 4096;
  Filling() {
    uint32_t state = 0x9e3779b9;
    for (uint8_t& byte : bytes_) {
      state = state * 1664525 + 1013904223;
      byte = static_cast<uint8_t>(state >> 24);
    }
  }
  uint8_t bytes_[kShifts + kPiece];
};

void FillRow(size_t y, size_t size, uint8_t* row) {
  for (size_t at = 0; at < size; at += Filling::kPiece) {
    std::memcpy(row + at, Filling::Get().Row(y), std::min(Filling::kPiece, size - at));
  }
}

// The memory of a picture's planes, with all that libde265 decodes.
struct Buffer {
  AlignedBytes planes[3];
  size_t stride = 0;  // bytes, of the first plane
  int width = 0;
  int height = 0;
  size_t sample_size = 1;

  // Whether all of the luma was painted. Coding blocks begin at multiples of 16 samples; the
  // filters behind decoding may reach 3 samples into a neighbour that was left out.
  bool IsWhole() const {
    constexpr int kBlock = 16;
    constexpr int kEdge = 4;
    for (int y = 0; y < height; y += kBlock) {
      for (int x = 0; x < width; x += kBlock) {
        if (IsFilling(x + kEdge, y + kEdge, kBlock - 2 * kEdge)) return false;
      }
    }
    return true;
  }

 private:
  bool IsFilling(int left, int top, int size) const {
    const int right = std::min(left + size, width);
    const int bottom = std::min(top + size, height);
    for (int y = top; y < bottom; ++y) {
      for (int x = left; x < right; ++x) {
        const size_t at = static_cast<size_t>(x) * sample_size;
        const uint8_t* const sample = planes[0].get() + static_cast<size_t>(y) * stride + at;
        const uint8_t* const filling = Filling::Get().Row(static_cast<size_t>(y));
        if (std::memcmp(sample, filling + at % Filling::kPiece, sample_size) != 0) return false;
      }
    }
    return left < right && top < bottom;
  }
};

// What libde265 is given with each call for memory.
struct Account {
  Size largest;  // of a picture
  int most = 0;  // pictures at a time
  int count = 0;
  bool lacked_memory = false;
};

int GetBuffer(de265_decoder_context* /*decoder*/, de265_image_spec* spec, de265_image* image,
              void* user_data) {
  auto* const account = static_cast<Account*>(user_data);
  if (account == nullptr || account->count >= account->most ||
      spec->width > account->largest.width || spec->height > account->largest.height) {
    return 0;
  }
  account->lacked_memory = true;  // until all is there
  std::unique_ptr<Buffer> buffer(new (std::nothrow) Buffer);
  if (buffer == nullptr) return 0;
  buffer->width = spec->width;
  buffer->height = spec->height;
  const de265_chroma chroma = de265_get_chroma_format(image);
  const int planes = chroma == de265_chroma_mono ? 1 : 3;
  int strides[3] = {};
  for (int i = 0; i < planes; ++i) {
    const bool halves_x = i > 0 && chroma != de265_chroma_444;
    const bool halves_y = i > 0 && chroma == de265_chroma_420;
    const size_t alignment = static_cast<size_t>(std::max(spec->alignment, 16));
    const auto width = static_cast<size_t>(halves_x ? (spec->width + 1) / 2 : spec->width);
    const auto height = static_cast<size_t>(halves_y ? (spec->height + 1) / 2 : spec->height);
    const size_t samples = (width + alignment - 1) / alignment * alignment;
    const size_t sample_size = de265_get_bits_per_pixel(image, i) > 8 ? 2 : 1;
    const size_t size = samples * sample_size * height;
    buffer->planes[i] = Allocate(size + kPadding);
    if (buffer->planes[i] == nullptr) return 0;
    strides[i] = static_cast<int>(samples * sample_size);
    if (i > 0) {
      std::memset(buffer->planes[i].get(), 0, size + kPadding);
      continue;
    }
    buffer->stride = samples * sample_size;
    buffer->sample_size = sample_size;
    for (size_t y = 0; y < height; ++y) {
      FillRow(y, buffer->stride, buffer->planes[0].get() + y * buffer->stride);
    }
    std::memset(buffer->planes[0].get() + size, 0, kPadding);
  }
  for (int i = 0; i < 3; ++i) {
    de265_set_image_plane(image, i, buffer->planes[i].get(), strides[i], buffer.get());
  }
  buffer.release();
  account->lacked_memory = false;
  ++account->count;
  return 1;
}

Buffer* BufferOf(const de265_image* image) {
  return static_cast<Buffer*>(de265_get_image_plane_user_data(image, 0));
}

void ReleaseBuffer(de265_decoder_context* /*decoder*/, de265_image* image, void* user_data) {
  delete BufferOf(image);
  for (int i = 0; i < 3; ++i) de265_set_image_plane(image, i, nullptr, 0, nullptr);
  if (user_data != nullptr) --static_cast<Account*>(user_data)->count;
}

// Makes libde265 take its pictures' memory from us. It has a function for that, and does not heed
// it where filters follow that go by the blocks around each (SAO): for those it has functions of
// its own, which it shows, and which are replaced here.
bool Initialise() {
  static const bool done = [] {
    if (de265_init() != DE265_OK) return false;
    auto* const functions =
        const_cast<de265_image_allocation*>(de265_get_default_image_allocation_functions());
    functions->get_buffer = GetBuffer;
    functions->release_buffer = ReleaseBuffer;
    return true;
  }();
  return done;
}

absl::Status Damaged() { return Undecodable(ImageFormat::kHeic, "its compressed data is damaged"); }

}  // namespace

class HevcDecoder::State {
 public:
  State() : context_(Initialise() ? de265_new_decoder() : nullptr) {
    if (context_ == nullptr) throw std::bad_alloc();
    de265_image_allocation functions = {GetBuffer, ReleaseBuffer};
    de265_set_image_allocation_functions(context_, &functions, &account_);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    try {
      de265_free_decoder(context_);
    } catch (const std::exception&) {
      // It takes memory to give some back, and where there is none it keeps what it has.
    }
  }

  absl::StatusOr<HevcPlanes> Decode(const HevcConfiguration& configuration, std::string_view data,
                                    const HevcDemand& demand, std::string* warning) {
    // A picture that filters go over is held twice while they do.
    account_ = {.largest = demand.coded, .most = demand.pictures + 1};
    for (const std::string_view unit : configuration.units) Push(unit);
    NumberReader reader(data);
    uint64_t size = 0;
    while (reader.Take(4, &size)) {
      const std::string_view unit = reader.rest().substr(0, size);
      if (!reader.Skip(size)) return Damaged();
      Push(unit);
    }
    de265_flush_data(context_);
    const de265_image* const image = NextPicture();
    if (account_.lacked_memory) throw std::bad_alloc();
    if (image == nullptr) return Damaged();
    if (!BufferOf(image)->IsWhole()) {
      return Truncated(ImageFormat::kHeic, "its compressed data ends before the picture does");
    }
    TakeWarnings(warning);
    return PlanesOf(image);
  }

 private:
  void Push(std::string_view unit) {
    de265_push_NAL(context_, unit.data(), static_cast<int>(unit.size()), 0, nullptr);
  }

  // The first picture in the order of showing. As libheif: what comes behind an error is tried.
  const de265_image* NextPicture() {
    for (int i = 0; i < kTries; ++i) {
      int more = 1;
      while (more != 0 && de265_decode(context_, &more) == DE265_OK) {
        if (const de265_image* const image = de265_get_next_picture(context_)) return image;
      }
    }
    return nullptr;
  }

  void TakeWarnings(std::string* warning) {
    for (de265_error code; (code = de265_get_warning(context_)) != DE265_OK;) {
      if (warning->empty()) *warning = de265_get_error_text(code);
    }
  }

  static absl::StatusOr<HevcPlanes> PlanesOf(const de265_image* image) {
    HevcPlanes out;
    out.size = {de265_get_image_width(image, 0), de265_get_image_height(image, 0)};
    out.chroma = de265_get_chroma_format(image);
    out.bits = de265_get_bits_per_pixel(image, 0);
    for (int i = 0; i < (out.chroma == 0 ? 1 : 3); ++i) {
      int stride = 0;
      out.planes[i].data = de265_get_image_plane(image, i, &stride);
      out.planes[i].stride = static_cast<size_t>(stride);
      const Size size = {de265_get_image_width(image, i), de265_get_image_height(image, i)};
      if (out.planes[i].data == nullptr || size != out.PlaneSize(i) ||
          de265_get_bits_per_pixel(image, i) != out.bits) {
        return UnsupportedVariant(ImageFormat::kHeic,
                                  "HEIC with other numbers of bits for light than for colour");
      }
    }
    const auto code = [](int number) { return static_cast<uint64_t>(number); };
    out.colors = {.primaries = code(de265_get_image_colour_primaries(image)),
                  .transfer = code(de265_get_image_transfer_characteristics(image)),
                  .matrix = code(de265_get_image_matrix_coefficients(image)),
                  .full_range = de265_get_image_full_range_flag(image) != 0};
    return out;
  }

  Account account_;
  de265_decoder_context* const context_;
};

HevcDecoder::HevcDecoder() : state_(std::make_unique<State>()) {}
HevcDecoder::~HevcDecoder() = default;

absl::StatusOr<HevcPlanes> HevcDecoder::Decode(const HevcConfiguration& configuration,
                                               std::string_view data, const HevcDemand& demand,
                                               std::string* warning) {
  return state_->Decode(configuration, data, demand, warning);
}

}  // namespace pixpool
#endif

namespace pixpool {

int64_t HevcDecoderBytes(const HevcConfiguration& configuration, const HevcDemand& demand,
                         int64_t data_bytes) {
  constexpr int64_t kDecoder = 1 << 20;  // tables, and the contexts of arithmetic coding
  constexpr int64_t kSlice = 32 << 10;
  constexpr int64_t kUnit = 512;
  const int64_t pixels = BoundedPixels(demand.coded.width + 15, demand.coded.height);
  const int64_t wide = configuration.luma_bits > 8 ? 2 : 1;
  const int64_t samples = configuration.chroma == 0   ? 1
                          : configuration.chroma == 3 ? 3
                                                      : 2;  // of a pixel, rounded up
  // Each picture has notes of its blocks, and the filter a copy of a plane. One more is made in
  // place of one that others refer to and that is missing.
  const int64_t picture = pixels * (wide * samples + 3);
  return kDecoder + 2 * data_bytes + demand.units * kUnit + demand.slices * kSlice +
         (demand.pictures + 1) * picture + wide * pixels + demand.parameter_sets * pixels / 2;
}

}  // namespace pixpool
