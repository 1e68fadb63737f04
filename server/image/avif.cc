// AVIF through libavif, as Pillow uses it: the primary picture of a file, or the first frame where
// its brand says that it is an animation. The one file that includes libavif.
#include "server/image/codec.h"
#include "server/image/heif_boxes.h"

#ifdef PIXPOOL_HAS_AVIF
#include <avif/avif.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/alpha.h"
#include "server/image/avif_dav1d.h"
#include "server/image/exif.h"
#include "server/image/palette.h"
#include "server/image/xmp.h"
#endif

namespace pixpool {
namespace {

bool IsAvif(std::string_view bytes) {
  if (HasMajorBrand(bytes, "avif") || HasMajorBrand(bytes, "avis")) return true;
  return (HasMajorBrand(bytes, "mif1") || HasMajorBrand(bytes, "msf1")) &&
         (HasBrand(bytes, "avif") || HasBrand(bytes, "avis"));
}

#ifdef PIXPOOL_HAS_AVIF
// Of an animation, whose frames libavif lists before it decodes the first.
constexpr uint32_t kMostFrames = 65'536;
// Each tile has a decoder of its own, which holds 0.35 MiB; each piece of metadata is copied.
constexpr HeifBounds kBounds = {.tiles = 256, .metadata = 8};
constexpr int64_t kMostPixels = AVIF_DEFAULT_IMAGE_SIZE_LIMIT;

struct DeleteDecoder {
  void operator()(avifDecoder* decoder) const { avifDecoderDestroy(decoder); }
};
using Decoder = std::unique_ptr<avifDecoder, DeleteDecoder>;

struct DeleteImage {
  void operator()(avifImage* image) const { avifImageDestroy(image); }
};

absl::Status Failure(avifResult result, bool is_cut = false) {
  switch (result) {
    case AVIF_RESULT_BMFF_PARSE_FAILED:
      // Which is also what libavif says of data that should lie behind the end.
      if (!is_cut) break;
      [[fallthrough]];
    case AVIF_RESULT_TRUNCATED_DATA:
      return Truncated(ImageFormat::kAvif, "it is truncated");
    case AVIF_RESULT_NO_CONTENT:
    case AVIF_RESULT_NO_AV1_ITEMS_FOUND:
      return Undecodable(ImageFormat::kAvif, "it has no picture that is coded as AV1");
    case AVIF_RESULT_DECODE_COLOR_FAILED:
    case AVIF_RESULT_DECODE_ALPHA_FAILED:
      return Undecodable(ImageFormat::kAvif, "its compressed data is damaged");
    case AVIF_RESULT_NO_CODEC_AVAILABLE:
      return UnsupportedVariant(ImageFormat::kAvif, "AVIF (by a libavif without dav1d)");
    case AVIF_RESULT_OUT_OF_MEMORY:
      throw std::bad_alloc();
    default:
      break;
  }
  return Undecodable(ImageFormat::kAvif,
                     Concat("its boxes are damaged (", avifResultToString(result), ")"));
}

// The file, parsed and nothing decoded. The bytes must outlive it.
absl::StatusOr<Decoder> Open(std::string_view bytes, const HeifIndex& index) {
  if (!Dav1dIsBounded()) {
    return UnsupportedVariant(ImageFormat::kAvif, "AVIF (by a dav1d that cannot be bounded)");
  }
  Decoder decoder(avifDecoderCreate());
  if (decoder == nullptr) throw std::bad_alloc();
  decoder->maxThreads = 1;
  // The only one whose frames libavif can bound.
  decoder->codecChoice = AVIF_CODEC_CHOICE_DAV1D;
  // As Pillow has it: files with a clean aperture that cannot be, and those of old libheif without
  // the number of bits, are read.
  decoder->strictFlags &=
      ~static_cast<avifStrictFlags>(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED);
  decoder->imageDimensionLimit = 0;  // ReadImageHeader's callers have a limit of their own
  decoder->imageCountLimit = kMostFrames;
  avifResult result = avifDecoderSetIOMemory(
      decoder.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (result == AVIF_RESULT_OK) result = avifDecoderParse(decoder.get());
  if (result != AVIF_RESULT_OK) return Failure(result, index.is_cut);
  return decoder;
}

int MirrorAxis(const avifImage& image) {
#if AVIF_VERSION >= 1000000
  return image.imir.axis;
#else
  return image.imir.mode;
#endif
}

// How the boxes "irot" (quarters against the clock) and then "imir" turn the picture, as EXIF
// numbers it.
int StatedOrientation(const avifImage& image) {
  const bool mirrored = (image.transformFlags & AVIF_TRANSFORM_IMIR) != 0;
  const bool sideways = mirrored && MirrorAxis(image) != 0;  // left and right change places
  const int quarters = (image.transformFlags & AVIF_TRANSFORM_IROT) == 0 ? 0 : image.irot.angle & 3;
  constexpr int kTurned[4] = {1, 8, 3, 6};
  constexpr int kUpsideDown[4] = {4, 5, 2, 7};
  constexpr int kSideways[4] = {2, 7, 4, 5};
  return !mirrored ? kTurned[quarters] : sideways ? kSideways[quarters] : kUpsideDown[quarters];
}

// As Pillow: the boxes count, and EXIF data is corrected by them. Only where neither says anything
// XMP does.
int OrientationOf(const avifImage& image) {
  const int stated = StatedOrientation(image);
  const auto text = [](const avifRWData& data) {
    return std::string_view(reinterpret_cast<const char*>(data.data), data.size);
  };
  if (stated != 1 || ReadExifOrientation(text(image.exif))) return stated;
  return ReadXmpOrientation(text(image.xmp)).value_or(1);
}

// Pixels of the largest frame that is decoded. Tiles may go beyond the picture, and so may frames
// that are to be scaled, up to a size that matters to nobody.
int64_t MostFramePixels(const HeifIndex& index, int64_t pixels) {
  constexpr int64_t kLeast = 1 << 18;
  return std::clamp(index.tiles == 0 ? pixels : 2 * pixels, kLeast, kMostPixels);
}

// What decoding holds at most: the file's pieces put together, decoders with what they note of
// blocks, planes of colours and alpha, the upper bits of these, and the picture.
int64_t DecodeBytes(std::string_view bytes, const HeifIndex& index, const avifDecoder& decoder) {
  constexpr int64_t kDecoder = 512 << 10;
  const avifImage& image = *decoder.image;
  const int64_t pixels = int64_t{image.width} * image.height;
  const int alpha = decoder.alphaPresent ? 1 : 0;
  avifPixelFormatInfo info;
  avifGetPixelFormatInfo(image.yuvFormat, &info);
  const int64_t chroma = info.monochrome ? 0 : 2 * pixels >> info.chromaShiftX >> info.chromaShiftY;
  const int64_t samples = pixels * (1 + alpha) + chroma;
  const int64_t frames = MostFramePixels(index, pixels);
  const int64_t planes = (samples / pixels + 1) * frames;
  const int64_t wide = image.depth > 8 ? 2 : 1;
  const int64_t tiles = static_cast<int64_t>(index.tiles);
  return 2 * static_cast<int64_t>(bytes.size()) + kDecoder * (2 + tiles) + (1 + alpha) * frames +
         wide * (planes + (tiles > 0 ? samples : 0)) + (wide - 1) * samples +
         (3 + 4 * alpha) * pixels;
}

absl::StatusOr<ImageHeader> ReadAvifHeader(std::string_view bytes) {
  PIXPOOL_ASSIGN_OR_RETURN(const HeifIndex index,
                           ReadHeifIndex(ImageFormat::kAvif, bytes, kBounds));
  const Size largest = index.largest;
  if (int64_t{largest.width} * largest.height > kMostPixels) {
    // libavif calls it damaged. What limits there are say what is wrong with it.
    return ImageHeader{ImageFormat::kAvif, largest.width, largest.height};
  }
  PIXPOOL_ASSIGN_OR_RETURN(const Decoder decoder, Open(bytes, index));
  const avifImage& image = *decoder->image;
  constexpr uint32_t kMostSide = std::numeric_limits<int>::max();
  if (image.width == 0 || image.height == 0 || std::max(image.width, image.height) > kMostSide) {
    return Undecodable(ImageFormat::kAvif, "its size is out of range");
  }
  return ImageHeader{ImageFormat::kAvif, static_cast<int>(image.width),
                     static_cast<int>(image.height), OrientationOf(image),
                     DecodeBytes(bytes, index, *decoder)};
}

avifRGBImage RgbImage(const avifImage& from, avifRGBFormat format, uint8_t* pixels, size_t stride) {
  avifRGBImage rgb;
  avifRGBImageSetDefaults(&rgb, &from);
  rgb.depth = 8;
  rgb.format = format;
  rgb.pixels = pixels;
  rgb.rowBytes = static_cast<uint32_t>(stride);
  return rgb;
}

absl::Status Convert(const avifImage& from, avifRGBFormat format, uint8_t* pixels, size_t stride) {
  avifRGBImage rgb = RgbImage(from, format, pixels, stride);
  const avifResult result = avifImageYUVToRGB(&from, &rgb);
  return result == AVIF_RESULT_OK ? absl::OkStatus() : Failure(result);
}

// A picture of more than 8 bits with the upper 8 of them, in planes of its own.
class UpperBits {
 public:
  explicit UpperBits(const avifImage& from) : image_(avifImageCreateEmpty()) {
    if (image_ == nullptr) throw std::bad_alloc();
    image_->width = from.width;
    image_->height = from.height;
    image_->depth = 8;
    image_->yuvFormat = from.yuvFormat;
    image_->yuvRange = from.yuvRange;
    image_->yuvChromaSamplePosition = from.yuvChromaSamplePosition;
    image_->colorPrimaries = from.colorPrimaries;
    image_->transferCharacteristics = from.transferCharacteristics;
    image_->matrixCoefficients = from.matrixCoefficients;
    image_->alphaPremultiplied = from.alphaPremultiplied;
    avifPixelFormatInfo info;
    avifGetPixelFormatInfo(from.yuvFormat, &info);
    const Size whole = {static_cast<int>(from.width), static_cast<int>(from.height)};
    const Size chroma = {(whole.width + info.chromaShiftX) >> info.chromaShiftX,
                         (whole.height + info.chromaShiftY) >> info.chromaShiftY};
    const auto upper = [&from](uint16_t sample) { return sample >> (from.depth - 8); };
    for (int i = 0; i < AVIF_PLANE_COUNT_YUV; ++i) {
      if (from.yuvPlanes[i] == nullptr) continue;
      const Size size = i == AVIF_CHAN_Y ? whole : chroma;
      image_->yuvRowBytes[i] = static_cast<uint32_t>(size.width);
      image_->yuvPlanes[i] = Plane(i, from.yuvPlanes[i], from.yuvRowBytes[i], size, upper);
    }
    if (from.alphaPlane == nullptr) return;
    image_->alphaRowBytes = from.width;
    // Alpha that libyuv does not convert along with colours is rounded.
    const auto rounded = [most = static_cast<float>((1 << from.depth) - 1)](uint16_t sample) {
      return static_cast<int>(0.5f + sample / most * 255);
    };
    image_->alphaPlane = from.yuvFormat == AVIF_PIXEL_FORMAT_YUV400
                             ? Plane(3, from.alphaPlane, from.alphaRowBytes, whole, rounded)
                             : Plane(3, from.alphaPlane, from.alphaRowBytes, whole, upper);
  }

  const avifImage& image() const { return *image_; }

 private:
  template <typename Narrow>
  uint8_t* Plane(int i, const uint8_t* from, size_t stride, Size size, const Narrow& narrow) {
    planes_[i].reset(new uint8_t[static_cast<size_t>(size.width) * size.height]);
    uint8_t* out = planes_[i].get();
    for (int y = 0; y < size.height; ++y, from += stride) {
      for (int x = 0; x < size.width; ++x) {
        uint16_t sample = 0;
        std::memcpy(&sample, from + size_t{2} * x, sizeof(sample));
        *out++ = static_cast<uint8_t>(std::min(narrow(sample), 255));
      }
    }
    return planes_[i].get();
  }

  std::unique_ptr<avifImage, DeleteImage> image_;  // does not own its planes
  std::unique_ptr<uint8_t[]> planes_[4];
};

// Whether libyuv knows the colours of such a picture. What it does not know libavif converts
// itself.
bool LibyuvKnows(const avifImage& image) {
  switch (image.matrixCoefficients) {
    case AVIF_MATRIX_COEFFICIENTS_BT709:
    case AVIF_MATRIX_COEFFICIENTS_UNSPECIFIED:
    case AVIF_MATRIX_COEFFICIENTS_BT470BG:
    case AVIF_MATRIX_COEFFICIENTS_BT601:
    case AVIF_MATRIX_COEFFICIENTS_BT2020_NCL:
      return true;
    default:
      return false;
  }
}

// Colours of 10 bits with alpha: of alpha the upper 8 bits, where libavif before 1.0 rounds.
absl::Status ConvertTenBits(const avifImage& from, uint8_t* rgba, size_t stride) {
  avifImage colors = from;  // the same planes
  colors.alphaPlane = nullptr;
  colors.alphaPremultiplied = AVIF_FALSE;
  PIXPOOL_RETURN_IF_ERROR(Convert(colors, AVIF_RGB_FORMAT_RGBA, rgba, stride));
  for (size_t y = 0; y < from.height; ++y) {
    const uint8_t* alpha = from.alphaPlane + y * from.alphaRowBytes;
    uint8_t* out = rgba + y * stride + 3;
    for (uint32_t x = 0; x < from.width; ++x, alpha += 2, out += 4) {
      uint16_t sample = 0;
      std::memcpy(&sample, alpha, sizeof(sample));
      *out = static_cast<uint8_t>(std::min(sample >> 2, 255));
    }
  }
  if (!from.alphaPremultiplied) return absl::OkStatus();
  avifRGBImage rgb = RgbImage(from, AVIF_RGB_FORMAT_RGBA, rgba, stride);
  rgb.alphaPremultiplied = AVIF_TRUE;
  const avifResult result = avifRGBImageUnpremultiplyAlpha(&rgb);
  return result == AVIF_RESULT_OK ? absl::OkStatus() : Failure(result);
}

// To RGB or RGBA of 8 bits as libavif 1.4 does it, which Pillow has: more than 8 bits go through
// libyuv, which gets the upper 8 of them where it has no conversion from all. Before 1.0 libavif
// computed more of them itself, and rounded otherwise.
absl::Status ConvertAsPillow(const avifImage& from, avifRGBFormat format, uint8_t* pixels,
                             size_t stride) {
  const bool is_grey = from.yuvFormat == AVIF_PIXEL_FORMAT_YUV400;
  const bool with_alpha = format == AVIF_RGB_FORMAT_RGBA;
  const bool is_grey_rgb = is_grey && !with_alpha;  // which libyuv has not for 8 bits either
  if (from.depth <= 8 || is_grey_rgb || !LibyuvKnows(from)) {
    return Convert(from, format, pixels, stride);
  }
  if (with_alpha && !is_grey && from.depth == 10) return ConvertTenBits(from, pixels, stride);
  if (with_alpha && from.yuvFormat == AVIF_PIXEL_FORMAT_YUV420) {
    return Convert(from, format, pixels, stride);
  }
  const UpperBits upper(from);
  return Convert(upper.image(), format, pixels, stride);
}

absl::Status ConvertWithAlpha(const avifImage& from, const std::optional<Color>& background,
                              Image* image, DecodeNotes* notes) {
  const size_t stride = size_t{4} * from.width;
  const std::unique_ptr<uint8_t[]> rgba(new uint8_t[stride * from.height]);
  PIXPOOL_RETURN_IF_ERROR(ConvertAsPillow(from, AVIF_RGB_FORMAT_RGBA, rgba.get(), stride));
  HiddenColors hidden;
  for (int y = 0; y < image->height(); ++y) {
    const uint8_t* row = rgba.get() + stride * static_cast<size_t>(y);
    if (background) {
      CompositeRow(row, image->width(), *background, image->row(y));
      continue;
    }
    if (y % HiddenColors::kRowStep == 0) hidden.LookAt(row, image->width());
    DropAlphaRow(row, image->width(), image->row(y));
  }
  notes->has_hidden_colors = hidden.matter();
  return absl::OkStatus();
}

absl::StatusOr<DecodeNotes> DecodeAvif(std::string_view bytes, const ImageHeader& header,
                                       const DecodeOptions& options, RowSink* sink) {
  PIXPOOL_ASSIGN_OR_RETURN(const HeifIndex index,
                           ReadHeifIndex(ImageFormat::kAvif, bytes, kBounds));
  PIXPOOL_ASSIGN_OR_RETURN(const Decoder decoder, Open(bytes, index));
  const auto has_size = [&header](const avifImage& image) {
    return image.width == static_cast<uint32_t>(header.width) &&
           image.height == static_cast<uint32_t>(header.height);
  };
  if (!has_size(*decoder->image)) {
    return Undecodable(ImageFormat::kAvif, "its size is not the header's");
  }
  decoder->imageSizeLimit =
      static_cast<uint32_t>(MostFramePixels(index, int64_t{header.width} * header.height));
  const avifResult result = avifDecoderNthImage(decoder.get(), 0);
  if (result != AVIF_RESULT_OK) return Failure(result);
  const avifImage& picture = *decoder->image;
  if (!has_size(picture)) return Undecodable(ImageFormat::kAvif, "its picture has another size");
  Image image(header.width, header.height);
  DecodeNotes notes;
  PIXPOOL_RETURN_IF_ERROR(
      picture.alphaPlane != nullptr
          ? ConvertWithAlpha(picture, options.background, &image, &notes)
          : ConvertAsPillow(picture, AVIF_RGB_FORMAT_RGB, image.data(), image.stride()));
  sink->TakeAll(std::move(image));
  return notes;
}
#endif

}  // namespace

const Codec kAvifCodec = {.name = "avif",
                          .title = "AVIF",
                          .wanted = "an AVIF",
                          .matches = IsAvif,
#ifdef PIXPOOL_HAS_AVIF
                          .read_header = ReadAvifHeader,
                          .decode = DecodeAvif,
#else  // not of this build
                          .read_header = nullptr,
                          .decode = nullptr,
#endif
                          .build_option = "PIXPOOL_AVIF"};

}  // namespace pixpool
