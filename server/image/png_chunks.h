// The chunks of a PNG file, gone through by the rules of Pillow's PngImagePlugin: what it refuses
// is refused. It checks every chunk before the pixels with its checksum, the chunks of pixels
// without, and looks at those behind only for what they say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/image/damage.h"
#include "server/image/image.h"

namespace pixpool {

// What a PNG file says before its pixels.
struct PngStart {
  Size size;
  // Where the pixels go: of an animation the first frame may be a part.
  Region frame;
  int bit_depth = 0;
  int color_type = 0;
  bool interlaced = false;
  std::string_view palette;  // RGB; what is left of an entry does not count
  std::string_view transparency;
  bool has_palette() const { return color_type == 3; }
  // Bits of a pixel.
  int pixel_bits() const;
};

// Walks one file. The bytes must outlive it. Not thread-safe.
class PngChunks {
 public:
  explicit PngChunks(std::string_view file) : file_(file) {}

  // The size alone, from the chunk headers.
  absl::StatusOr<Size> ReadSize();

  // Goes up to the first pixels.
  absl::Status ReadStart();
  const PngStart& start() const { return start_; }
  // Whether the headers so far say what pixels are: those behind may say something else.
  bool has_mode() const { return has_mode_; }

  // The next block of compressed pixels, at most 64 KiB, as Pillow reads them: not across the end
  // of a chunk. An error where there are no more.
  absl::StatusOr<std::string_view> NextBlock();

  // To be called when all pixels are there: goes on to the end.
  absl::Status ReadEnd();

  const DamageList& damages() const { return damages_; }

 private:
  struct Chunk {
    std::string_view type;
    size_t body = 0;  // where it begins
    size_t length = 0;
  };
  enum class Next { kChunk, kEnd, kBroken };

  // The header of the chunk at at_, which then is behind it.
  Next ReadHeader(Chunk* chunk);
  // Moves behind the rest of the current chunk, which must be there.
  absl::Status Skip(const Chunk& chunk);
  std::string_view BodyOf(const Chunk& chunk) const;
  bool ChecksumFails(const Chunk& chunk) const;
  void NoteChecksum(const Chunk& chunk);
  absl::Status CheckSize() const;
  // What Pillow does with a chunk that is no pixels.
  absl::Status Take(const Chunk& chunk);
  absl::Status TakeHeader(std::string_view body);
  absl::Status TakeTransparency(std::string_view body);
  absl::Status TakeFrameControl(std::string_view body);
  void TakeAnimation(std::string_view body);
  // The number in front of the pixels of an animation's frame; moves behind it.
  absl::Status TakeFrameNumber(const Chunk& chunk);

  const std::string_view file_;
  size_t at_ = 8;  // behind the magic
  PngStart start_;
  bool has_mode_ = false;  // a header said what pixels are
  std::optional<Region> frame_;
  std::optional<uint32_t> sequence_;  // the last number of an animation's chunks
  std::optional<uint32_t> frames_;
  bool animated_ = false;
  Chunk pixels_;     // the current chunk of them
  size_t left_ = 0;  // bytes of it that are still to come
  DamageList damages_;
};

}  // namespace pixpool
