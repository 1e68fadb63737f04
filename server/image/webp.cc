// WebP through libwebp: its demuxer, which Pillow uses for still pictures too, decides what is
// taken. Of an animation the first frame is decoded, at its place on the canvas.
#include <webp/decode.h>
#include <webp/demux.h>

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/alpha.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"
#include "server/image/metadata.h"

namespace pixpool {
namespace {

constexpr size_t kChunkHeader = 8;
constexpr size_t kFileHeader = 12;
constexpr int kExtendedHeader = 10;
constexpr size_t kLeastHeader = 30;  // with the size of any kind of picture

const uint8_t* Data(std::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

// The file without what follows it, or an error if it is cut off.
absl::StatusOr<std::string_view> WholeFile(std::string_view bytes) {
  const size_t size = ReadLittle32(bytes, 4);
  if (size > bytes.size() - kChunkHeader) {
    return Truncated(ImageFormat::kWebp, Concat("it should have ", kChunkHeader + size,
                                                " bytes, and has ", bytes.size()));
  }
  return bytes.substr(0, kChunkHeader + size);
}

// The size of the canvas.
absl::StatusOr<Size> ReadSize(std::string_view bytes) {
  const std::string_view kind = bytes.substr(kFileHeader, 4);
  const auto number = [bytes](size_t at, size_t size) {
    uint32_t value = 0;
    for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return static_cast<int>(value);
  };
  constexpr int kSideBits = 0x3fff;
  if (kind != "VP8 " && kind != "VP8L" && kind != "VP8X" && kind.size() == 4) {
    return Undecodable(ImageFormat::kWebp, "it does not begin with a picture");
  }
  if (bytes.size() < kLeastHeader) {
    return Truncated(ImageFormat::kWebp, "it ends within its header");
  }
  Size size;
  if (kind == "VP8X") {
    // Debian 12's libwebp (1.2.4) takes longer ones.
    if (number(16, 4) != kExtendedHeader) {
      return Undecodable(ImageFormat::kWebp, "its extended header has a wrong length");
    }
    size = {number(24, 3) + 1, number(27, 3) + 1};
  } else if (kind == "VP8L" && bytes[20] == '\x2f') {
    const int bits = number(21, 4);
    size = {(bits & kSideBits) + 1, (bits >> 14 & kSideBits) + 1};
  } else if (kind == "VP8 " && bytes.substr(23, 3) == "\x9d\x01\x2a") {
    size = {number(26, 2) & kSideBits, number(28, 2) & kSideBits};
  }
  if (size.width == 0 || size.height == 0) {
    return Undecodable(ImageFormat::kWebp, "the header is damaged");
  }
  return size;
}

// A still picture, the only one of a file or a frame of an animation, and where it goes.
struct Frame {
  std::string_view data;
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  bool has_alpha = false;
  bool is_lossless = false;
};

// Decodes to `target`, of `size` bytes in rows of `stride`.
absl::Status DecodeInto(std::string_view data, WEBP_CSP_MODE mode, uint8_t* target, size_t size,
                        size_t stride) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) {
    return absl::InternalError("libwebp is not the one that it was built with");
  }
  config.output.colorspace = mode;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {target, static_cast<int>(stride), size};
  const VP8StatusCode code = WebPDecode(Data(data), data.size(), &config);
  if (code == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  if (code != VP8_STATUS_OK) return Undecodable(ImageFormat::kWebp, "its data is damaged");
  return absl::OkStatus();
}

// The RGBA pixels of a frame, row by row, as RGB over the background or without their alpha.
void RemoveAlpha(const uint8_t* rgba, const Frame& frame, const DecodeOptions& options,
                 uint8_t* rgb, size_t stride, HiddenColors* hidden) {
  for (int y = 0; y < frame.height; ++y, rgba += size_t{4} * frame.width, rgb += stride) {
    if (options.background) {
      CompositeRow(rgba, frame.width, *options.background, rgb);
      continue;
    }
    if (y % HiddenColors::kRowStep == 0) hidden->LookAt(rgba, frame.width);
    DropAlphaRow(rgba, frame.width, rgb);
  }
}

// The canvas with the frame in it. Where that covers all of it, its RGBA pixels become RGB where
// they are, so that a picture with alpha takes no memory twice.
absl::StatusOr<Image> DecodeFrame(const Frame& frame, Size canvas, const DecodeOptions& options) {
  const bool covers = frame.width == canvas.width && frame.height == canvas.height;
  std::unique_ptr<uint8_t[]> rgba;
  if (frame.has_alpha) {
    const size_t row_size = static_cast<size_t>(frame.width) * 4;
    const size_t size = row_size * static_cast<size_t>(frame.height);
    rgba.reset(new uint8_t[size]);
    PIXPOOL_RETURN_IF_ERROR(DecodeInto(frame.data, MODE_RGBA, rgba.get(), size, row_size));
  }
  HiddenColors hidden;
  if (covers && frame.has_alpha) {
    RemoveAlpha(rgba.get(), frame, options, rgba.get(), size_t{3} * canvas.width, &hidden);
    Image image(canvas, std::move(rgba));
    image.set_has_hidden_colors(hidden.matter());
    return image;
  }
  Image image(canvas.width, canvas.height);
  if (!covers) {
    constexpr std::array<uint8_t, 3> kBlack = {0, 0, 0};
    for (int y = 0; y < canvas.height; ++y) {
      FillRow(canvas.width, options.background.value_or(kBlack), image.row(y));
    }
  }
  const size_t offset = image.stride() * static_cast<size_t>(frame.y) + size_t{3} * frame.x;
  uint8_t* const target = image.data() + offset;
  if (frame.has_alpha) {
    RemoveAlpha(rgba.get(), frame, options, target, image.stride(), &hidden);
  } else {
    PIXPOOL_RETURN_IF_ERROR(
        DecodeInto(frame.data, MODE_RGB, target, image.byte_size() - offset, image.stride()));
  }
  image.set_has_hidden_colors(hidden.matter());
  return image;
}

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};

// The first frame of a file all of whose frames are there. Its data points into `file`.
absl::StatusOr<Frame> FirstFrame(std::string_view file, Size canvas) {
  const WebPData data = {Data(file), file.size()};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  WebPIterator it;
  if (demuxer == nullptr || WebPDemuxGetFrame(demuxer.get(), 1, &it) == 0) {
    return Undecodable(ImageFormat::kWebp, "its chunks or frames are damaged");
  }
  if (static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH)) != canvas.width ||
      static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT)) != canvas.height) {
    WebPDemuxReleaseIterator(&it);
    return Undecodable(ImageFormat::kWebp, "its size is not the header's");
  }
  Frame frame;
  frame.data = {reinterpret_cast<const char*>(it.fragment.bytes), it.fragment.size};
  frame.x = it.x_offset;
  frame.y = it.y_offset;
  frame.width = it.width;
  frame.height = it.height;
  WebPDemuxReleaseIterator(&it);
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(Data(frame.data), frame.data.size(), &features) != VP8_STATUS_OK) {
    return Undecodable(ImageFormat::kWebp, "its picture is damaged");
  }
  frame.has_alpha = features.has_alpha != 0;
  constexpr int kLossless = 2;
  frame.is_lossless = features.format == kLossless;
  const bool inside = frame.x >= 0 && frame.y >= 0 && frame.x <= canvas.width - frame.width &&
                      frame.y <= canvas.height - frame.height;
  if (!inside || features.width != frame.width || features.height != frame.height) {
    return Undecodable(ImageFormat::kWebp, "its first frame has a wrong size");
  }
  return frame;
}

// What decoding holds at most.
int64_t DecodeBytes(const Frame& frame, Size canvas) {
  constexpr int64_t kTables = 1 << 20;
  constexpr int64_t kByColumn = 256;  // rows of blocks with what is known of them
  const int64_t pixels = int64_t{frame.width} * frame.height;
  int64_t bytes = int64_t{3} * canvas.width * canvas.height + kByColumn * frame.width + kTables;
  if (frame.is_lossless) bytes += 4 * pixels;      // it is put together in those
  if (frame.has_alpha) bytes += (4 + 2) * pixels;  // the pixels once more with it, and its own
  return bytes;
}

bool IsWebp(std::string_view bytes) {
  return bytes.size() >= kFileHeader && bytes.substr(0, 4) == "RIFF" &&
         bytes.substr(8, 4) == "WEBP";
}

absl::StatusOr<ImageHeader> ReadWebpHeader(std::string_view bytes) {
  // The size first: a picture over a limit is told so even if it is cut off as well.
  PIXPOOL_ASSIGN_OR_RETURN(const Size size, ReadSize(bytes));
  ImageHeader header{ImageFormat::kWebp, size.width, size.height, 1};
  const absl::StatusOr<std::string_view> file = WholeFile(bytes);
  if (!file.ok()) return header;
  header.orientation = ReadWebpOrientation(*file);
  const absl::StatusOr<Frame> frame = FirstFrame(*file, size);
  if (frame.ok()) header.decode_bytes = DecodeBytes(*frame, size);
  return header;
}

absl::StatusOr<DecodeNotes> DecodeWebp(std::string_view bytes, const ImageHeader& header,
                                       const DecodeOptions& options, RowSink* sink) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::string_view file, WholeFile(bytes));
  PIXPOOL_ASSIGN_OR_RETURN(const Frame frame, FirstFrame(file, {header.width, header.height}));
  PIXPOOL_ASSIGN_OR_RETURN(Image image, DecodeFrame(frame, {header.width, header.height}, options));
  const bool has_hidden_colors = image.has_hidden_colors();
  sink->TakeAll(std::move(image));
  return DecodeNotes{.damages = {}, .has_hidden_colors = has_hidden_colors};
}

}  // namespace

const Codec kWebpCodec = {.name = "webp",
                          .title = "WebP",
                          .wanted = "a WebP",
                          .matches = IsWebp,
                          .read_header = ReadWebpHeader,
                          .decode = DecodeWebp};

}  // namespace pixpool
