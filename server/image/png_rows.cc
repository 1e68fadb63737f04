#include "server/image/png_rows.h"

#define ZLIB_CONST  // its input is
#include <zlib.h>

#include <new>
#include <vector>

#include "absl/cleanup/cleanup.h"

namespace pixpool {
namespace {

// Of the passes of an interlaced picture: where they begin and their steps.
struct Pass {
  int left;
  int top;
  int x_step;
  int y_step;
};
constexpr Pass kPasses[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                            {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

// Bytes of each row with its filter, in the order of the file.
std::vector<size_t> RowSizes(const PngStart& start) {
  const auto bits = static_cast<size_t>(start.pixel_bits());
  const auto size_of = [bits](int width) {
    return (static_cast<size_t>(width) * bits + 7) / 8 + 1;
  };
  if (!start.interlaced) {
    return std::vector<size_t>(static_cast<size_t>(start.frame.height), size_of(start.frame.width));
  }
  std::vector<size_t> sizes;
  for (const Pass& pass : kPasses) {
    const int width = (start.frame.width - pass.left + pass.x_step - 1) / pass.x_step;
    const int height = (start.frame.height - pass.top + pass.y_step - 1) / pass.y_step;
    if (width < 1 || height < 1) continue;
    sizes.insert(sizes.end(), static_cast<size_t>(height), size_of(width));
  }
  return sizes;
}

}  // namespace

int RowsBeforeEnd(PngChunks* chunks) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
  const absl::Cleanup end = [&stream] { inflateEnd(&stream); };
  std::vector<Bytef> row;
  int rows = 0;
  for (const size_t size : RowSizes(chunks->start())) {
    row.resize(size);
    stream.next_out = row.data();
    stream.avail_out = static_cast<uInt>(size);
    while (stream.avail_out > 0) {
      if (stream.avail_in == 0) {
        const absl::StatusOr<std::string_view> block = chunks->NextBlock();
        if (!block.ok()) return -1;
        stream.next_in = reinterpret_cast<const Bytef*>(block->data());
        stream.avail_in = static_cast<uInt>(block->size());
      }
      const int result = inflate(&stream, Z_NO_FLUSH);
      if (result == Z_STREAM_END) return stream.avail_out == 0 ? rows + 1 : -1;
      if (result != Z_OK) return -1;
    }
    ++rows;
  }
  return -1;
}

}  // namespace pixpool
