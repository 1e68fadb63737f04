// HEIC: the primary picture of a HEIF file that is coded as HEVC, as pillow-heif reads it. The
// boxes are read by our own code, libde265 decodes what they hold.
#include "server/image/codec.h"
#include "server/image/heif_boxes.h"

#ifdef PIXPOOL_HAS_HEIC
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/base/status_macros.h"
#include "server/image/alpha.h"
#include "server/image/heic_colors.h"
#include "server/image/heic_layout.h"
#include "server/image/heif_items.h"
#include "server/image/hevc_decoder.h"
#include "server/image/palette.h"
#include "server/image/row_block.h"
#endif

namespace pixpool {
namespace {

// The brands of files that begin with a picture or sequence that is coded as HEVC, or does not say.
constexpr std::string_view kBrands[] = {"heic", "heix", "heim", "heis", "hevc",
                                        "hevx", "hevm", "hevs", "mif1", "msf1"};

bool IsHeic(std::string_view bytes) {
  return std::any_of(std::begin(kBrands), std::end(kBrands),
                     [bytes](std::string_view brand) { return HasMajorBrand(bytes, brand); });
}

#ifdef PIXPOOL_HAS_HEIC
// Tiles are decoded one after the other, and of metadata nothing is read.
constexpr HeifBounds kBounds = {.tiles = 1000, .metadata = 1000};

absl::StatusOr<HeifItems> Open(std::string_view bytes) {
  PIXPOOL_RETURN_IF_ERROR(ReadHeifIndex(ImageFormat::kHeic, bytes, kBounds).status());
  return HeifItems::Read(ImageFormat::kHeic, bytes);
}

absl::StatusOr<ImageHeader> ReadHeicHeader(std::string_view bytes) {
  PIXPOOL_ASSIGN_OR_RETURN(const HeifItems items, Open(bytes));
  PIXPOOL_ASSIGN_OR_RETURN(const HeicLayout layout, ReadHeicLayout(items));
  const HeicPicture& picture = layout.picture;
  const auto pixels = [](Size size) { return int64_t{size.width} * size.height; };
  Size decoded = picture.size;
  if (layout.alpha && pixels(layout.alpha->size) > pixels(decoded)) decoded = layout.alpha->size;
  return ImageHeader{.format = ImageFormat::kHeic,
                     .width = picture.shown.width,
                     .height = picture.shown.height,
                     .orientation = picture.orientation,
                     .decode_bytes = layout.decode_bytes,
                     .decoded = decoded,
                     .is_always_turned = true};
}

// Rows of planes in memory of their own, for tiles that lie beside each other.
class Canvas {
 public:
  Canvas(const HevcPlanes& like, int width, int height) : planes_(like) {
    planes_.size = {width, height};
    for (int i = 0; i < (planes_.chroma == 0 ? 1 : 3); ++i) {
      const Size size = planes_.PlaneSize(i);
      planes_.planes[i].stride = planes_.sample_size() * static_cast<size_t>(size.width);
      memory_[i].reset(new uint8_t[planes_.planes[i].stride * static_cast<size_t>(size.height)]);
      planes_.planes[i].data = memory_[i].get();
    }
  }

  const HevcPlanes& planes() const { return planes_; }

  // Puts as much of a tile as fits at a place that is even where planes are halved.
  void Put(const HevcPlanes& tile, int left, int top) {
    for (int i = 0; i < (planes_.chroma == 0 ? 1 : 3); ++i) {
      const int x = i == 0 ? left : left >> planes_.shift_x();
      const int y = i == 0 ? top : top >> planes_.shift_y();
      const Size from = tile.PlaneSize(i);
      const Size to = planes_.PlaneSize(i);
      const size_t bytes =
          planes_.sample_size() * static_cast<size_t>(std::min(from.width, to.width - x));
      const HevcPlanes::Plane& source = tile.planes[i];
      uint8_t* const out = memory_[i].get() + planes_.sample_size() * static_cast<size_t>(x);
      for (int row = 0; row < std::min(from.height, to.height - y); ++row) {
        std::memcpy(out + planes_.planes[i].stride * static_cast<size_t>(y + row),
                    source.data + source.stride * static_cast<size_t>(row), bytes);
      }
    }
  }

 private:
  HevcPlanes planes_;
  std::unique_ptr<uint8_t[]> memory_[3];
};

// Takes the rows of a picture as they are decoded: `band` has those from luma row `top` on, and is
// of the picture's width at least.
class BandSink {
 public:
  virtual ~BandSink() = default;
  virtual absl::Status Take(const HevcPlanes& band, int top) = 0;
};

// Decodes tiles, and puts rows of them together.
class PictureDecoder {
 public:
  PictureDecoder(const HeifItems& items, const HeicPicture& picture, DamageList* damages)
      : items_(items), picture_(picture), damages_(damages) {}

  absl::Status Decode(BandSink* sink) {
    if (picture_.items.size() == 1) {
      HevcDecoder decoder;
      PIXPOOL_ASSIGN_OR_RETURN(const HevcPlanes planes, DecodeTile(0, &decoder));
      return sink->Take(planes, 0);
    }
    const int band_rows = HeicBandRows(picture_);
    for (int top = 0; top < picture_.size.height; top += band_rows) {
      PIXPOOL_RETURN_IF_ERROR(DecodeBand(top, std::min(band_rows, picture_.size.height - top)));
      PIXPOOL_RETURN_IF_ERROR(sink->Take(canvas_->planes(), top));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status DecodeBand(int top, int rows) {
    std::optional<Canvas> canvas;
    const Size tile = picture_.tile;
    for (int y = top / tile.height; y * tile.height < top + rows; ++y) {
      for (int x = 0; x * tile.width < picture_.size.width; ++x) {
        HevcDecoder decoder;
        PIXPOOL_ASSIGN_OR_RETURN(
            const HevcPlanes planes,
            DecodeTile(static_cast<size_t>(y) * static_cast<size_t>(picture_.columns) +
                           static_cast<size_t>(x),
                       &decoder));
        if (!canvas) {
          canvas_.reset();
          canvas.emplace(planes, picture_.size.width, rows);
        }
        canvas->Put(planes, x * tile.width, y * tile.height - top);
      }
    }
    canvas_ = std::move(canvas);
    return absl::OkStatus();
  }

  absl::StatusOr<HevcPlanes> DecodeTile(size_t i, HevcDecoder* decoder) {
    PIXPOOL_ASSIGN_OR_RETURN(const HeicTile tile,
                             ReadHeicTile(items_, picture_, picture_.items[i]));
    std::string warning;
    PIXPOOL_ASSIGN_OR_RETURN(
        HevcPlanes planes,
        decoder->Decode(tile.configuration, tile.data.bytes(), tile.demand, &warning));
    if (planes.size != picture_.tile) {
      return Undecodable(ImageFormat::kHeic, "its picture has another size than the file states");
    }
    if (planes.chroma != picture_.chroma || planes.bits != picture_.bits) {
      return Undecodable(ImageFormat::kHeic,
                         "its data has other samples than its parameters (hvcC) state");
    }
    if (!warning.empty()) damages_->Add(DamageKind::kData, warning);
    // The first tile's, where the boxes say nothing.
    if (!colors_) colors_ = picture_.colors.value_or(planes.colors);
    planes.colors = *colors_;
    return planes;
  }

  const HeifItems& items_;
  const HeicPicture& picture_;
  DamageList* const damages_;
  std::optional<HevcColors> colors_;
  std::optional<Canvas> canvas_;
};

// Keeps the upper 8 bits of the light of each pixel, as coded.
class LightSink final : public BandSink {
 public:
  explicit LightSink(Size size)
      : size_(size),
        light_(new uint8_t[static_cast<size_t>(size.width) * static_cast<size_t>(size.height)]) {}

  absl::Status Take(const HevcPlanes& band, int top) override {
    const int rows = std::min(band.size.height, size_.height - top);
    for (int y = 0; y < rows; ++y) {
      const uint8_t* const row =
          band.planes[0].data + band.planes[0].stride * static_cast<size_t>(y);
      uint8_t* const out = light_.get() + Offset(0, top + y);
      if (band.bits == 8) {
        std::memcpy(out, row, static_cast<size_t>(size_.width));
        continue;
      }
      for (int x = 0; x < size_.width; ++x) {
        uint16_t sample = 0;
        std::memcpy(&sample, row + 2 * static_cast<size_t>(x), sizeof(sample));
        out[x] = static_cast<uint8_t>(sample >> (band.bits - 8));
      }
    }
    return absl::OkStatus();
  }

  uint8_t At(int x, int y) const { return light_[Offset(x, y)]; }

 private:
  size_t Offset(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(size_.width) + static_cast<size_t>(x);
  }

  const Size size_;
  std::unique_ptr<uint8_t[]> light_;
};

// Where the point of an upright picture is stored, or the other way round.
void Move(int orientation, Size from, int* x, int* y) {
  const Region moved = OrientRegion({*x, *y, 1, 1}, from, orientation);
  *x = moved.left;
  *y = moved.top;
}

// Alpha for each stored pixel of a picture: that of the pixel at the same place once both are
// upright, of the nearest where they have several sizes.
class AlphaMap {
 public:
  AlphaMap(const LightSink& light, const HeicPicture& alpha, const HeicPicture& picture)
      : width_(picture.shown.width),
        alpha_(static_cast<size_t>(picture.shown.width) *
               static_cast<size_t>(picture.shown.height)) {
    const Size stored = {picture.shown.width, picture.shown.height};
    const Size upright = picture.UprightSize();
    const Size of_alpha = alpha.UprightSize();
    const auto scaled = [](int at, int to, int from) {
      return static_cast<int>(int64_t{at} * to / from);
    };
    for (int y = 0; y < stored.height; ++y) {
      for (int x = 0; x < stored.width; ++x) {
        int at_x = x;
        int at_y = y;
        Move(picture.orientation, stored, &at_x, &at_y);
        at_x = scaled(at_x, of_alpha.width, upright.width);
        at_y = scaled(at_y, of_alpha.height, upright.height);
        Move(InverseOrientation(alpha.orientation), of_alpha, &at_x, &at_y);
        alpha_[Offset(x, y)] = light.At(alpha.shown.left + at_x, alpha.shown.top + at_y);
      }
    }
  }

  uint8_t At(int x, int y) const { return alpha_[Offset(x, y)]; }

 private:
  size_t Offset(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x);
  }

  const int width_;
  std::vector<uint8_t> alpha_;
};

// Paints the part that is shown, and gives it to a sink.
class PaintSink final : public BandSink {
 public:
  PaintSink(const HeicLayout& layout, const AlphaMap* alpha, const DecodeOptions& options,
            RowSink* sink)
      : picture_(layout.picture),
        is_premultiplied_(layout.is_premultiplied),
        alpha_(alpha),
        background_(options.background),
        block_({0, 0, picture_.shown.width, picture_.shown.height},
               {picture_.shown.width, picture_.shown.height}, sink),
        rgba_(alpha == nullptr ? 0 : size_t{4} * static_cast<size_t>(picture_.shown.width)) {}

  absl::Status Take(const HevcPlanes& band, int top) override {
    const Region* const smooth = picture_.smooth ? &*picture_.smooth : nullptr;
    if (!painter_) {
      if (!HeicPainter::Knows(band, smooth != nullptr)) {
        return UnsupportedVariant(ImageFormat::kHeic, "HEIC with colours of this kind");
      }
      painter_.emplace(band, smooth);
    }
    const Region& shown = picture_.shown;
    const int begin = std::max(top, shown.top);
    const int end = std::min(top + band.size.height, shown.bottom());
    for (int y = begin; y < end; ++y) {
      uint8_t* const rgb = block_.Next();
      painter_->Paint(band, top, y, shown.left, shown.width, rgb);
      if (alpha_ != nullptr) BlendRow(y - shown.top, rgb);
    }
    return absl::OkStatus();
  }

  bool has_hidden_colors() const { return hidden_.matter(); }
  void Finish() { block_.Finish(); }

 private:
  void BlendRow(int y, uint8_t* rgb) {
    const int width = picture_.shown.width;
    const bool looks = !background_ && y % HiddenColors::kRowStep == 0;
    for (int x = 0; x < width; ++x) {
      const uint8_t alpha = alpha_->At(x, y);
      uint8_t* const pixel = rgb + size_t{3} * static_cast<size_t>(x);
      if (is_premultiplied_ && alpha > 0) {
        for (int c = 0; c < 3; ++c) {
          pixel[c] = static_cast<uint8_t>(std::min(255 * int{pixel[c]} / int{alpha}, 255));
        }
      }
      uint8_t* const out = rgba_.data() + size_t{4} * static_cast<size_t>(x);
      std::memcpy(out, pixel, 3);
      out[3] = alpha;
    }
    if (looks) hidden_.LookAt(rgba_.data(), width);
    if (background_) CompositeRow(rgba_.data(), width, *background_, rgb);
  }

  const HeicPicture& picture_;
  const bool is_premultiplied_;
  const AlphaMap* const alpha_;
  const std::optional<Color> background_;
  RowBlock block_;
  std::vector<uint8_t> rgba_;
  std::optional<HeicPainter> painter_;
  HiddenColors hidden_;
};

absl::StatusOr<DecodeNotes> DecodeHeic(std::string_view bytes, const ImageHeader& header,
                                       const DecodeOptions& options, RowSink* sink) {
  PIXPOOL_ASSIGN_OR_RETURN(const HeifItems items, Open(bytes));
  PIXPOOL_ASSIGN_OR_RETURN(const HeicLayout layout, ReadHeicLayout(items));
  if (layout.picture.shown.width != header.width || layout.picture.shown.height != header.height) {
    return Undecodable(ImageFormat::kHeic, "its size is not the header's");
  }
  DecodeNotes notes;
  std::optional<AlphaMap> alpha;
  if (layout.alpha) {
    LightSink light(layout.alpha->size);
    PIXPOOL_RETURN_IF_ERROR(PictureDecoder(items, *layout.alpha, &notes.damages).Decode(&light));
    alpha.emplace(light, *layout.alpha, layout.picture);
  }
  PaintSink paint(layout, alpha ? &*alpha : nullptr, options, sink);
  PIXPOOL_RETURN_IF_ERROR(PictureDecoder(items, layout.picture, &notes.damages).Decode(&paint));
  paint.Finish();
  notes.has_hidden_colors = paint.has_hidden_colors();
  return notes;
}
#endif

}  // namespace

const Codec kHeicCodec = {.name = "heic",
                          .title = "HEIC",
                          .wanted = "a HEIC",
                          .matches = IsHeic,
#ifdef PIXPOOL_HAS_HEIC
                          .read_header = ReadHeicHeader,
                          .decode = DecodeHeic,
#else  // not of this build
                          .read_header = nullptr,
                          .decode = nullptr,
#endif
                          .build_option = "PIXPOOL_HEIC"};

}  // namespace pixpool
