#include "server/image/heif_boxes.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"

namespace pixpool {

std::optional<HeifBox> TakeHeifBox(std::string_view* bytes) {
  NumberReader reader(*bytes);
  uint64_t size = 0;
  if (!reader.Take(4, &size) || !reader.Skip(4)) return std::nullopt;
  const std::string_view type = bytes->substr(4, 4);
  if (size == 1 && !reader.Take(8, &size)) return std::nullopt;
  if (type == "uuid" && !reader.Skip(16)) return std::nullopt;
  const size_t header = bytes->size() - reader.rest().size();
  if (size == 0) size = bytes->size();  // up to the end
  if (size < header) return std::nullopt;
  const auto length = static_cast<size_t>(std::min<uint64_t>(size, bytes->size()));
  const HeifBox box = {type, bytes->substr(header, length - header), length < size};
  bytes->remove_prefix(length);
  return box;
}

namespace {

constexpr size_t kBoxHeader = 8;
// Bytes of the index, of some 3,000 items at the most. For each item and each reference to one
// libraries look through all items, and for each chunk of an animation through all runs of chunks.
constexpr uint64_t kMostIndex = 64 << 10;
constexpr uint64_t kMostReferences = 4096;

// The body of the box of brands with which HEIF files begin.
std::optional<std::string_view> Brands(std::string_view file) {
  if (file.size() < kBoxHeader || file.substr(4, 4) != "ftyp") return std::nullopt;
  const std::optional<HeifBox> box = TakeHeifBox(&file);
  return box ? std::optional(box->body) : std::nullopt;
}

// Collects what matters of the boxes of an index.
class IndexWalk {
 public:
  IndexWalk(ImageFormat format, std::string_view file, const HeifBounds& bounds)
      : format_(format), file_size_(file.size()), bounds_(bounds) {}

  const HeifIndex& index() const { return index_; }

  // A box at the top of the file.
  absl::Status Top(const HeifBox& box) {
    index_.is_cut = box.is_cut;
    if (box.type != "meta" && box.type != "moov") return absl::OkStatus();
    not_index_ = 0;
    PIXPOOL_RETURN_IF_ERROR(box.type == "meta" ? Meta(box.body) : Movie(box.body));
    if (box.body.size() - not_index_ > kMostIndex) return Refuse("its index is over 64 KiB");
    return absl::OkStatus();
  }

 private:
  absl::Status Refuse(std::string_view detail) const { return Undecodable(format_, detail); }

  absl::Status Movie(std::string_view body) {
    while (const std::optional<HeifBox> track = TakeHeifBox(&body)) {
      if (track->type != "trak") continue;
      std::string_view inside = track->body;
      while (const std::optional<HeifBox> box = TakeHeifBox(&inside)) {
        if (box->type == "meta") PIXPOOL_RETURN_IF_ERROR(Meta(box->body));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Meta(std::string_view body) {
    body.remove_prefix(std::min<size_t>(4, body.size()));  // version and flags
    while (const std::optional<HeifBox> box = TakeHeifBox(&body)) {
      if (box->type == "idat") {
        not_index_ += box->body.size();
      } else if (box->type == "iinf") {
        PIXPOOL_RETURN_IF_ERROR(Items(box->body));
      } else if (box->type == "iloc") {
        PIXPOOL_RETURN_IF_ERROR(Locations(box->body));
      } else if (box->type == "iref") {
        PIXPOOL_RETURN_IF_ERROR(References(box->body));
      } else if (box->type == "iprp") {
        Properties(box->body);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Items(std::string_view body) {
    if (body.empty()) return absl::OkStatus();
    const size_t head = body[0] == 0 ? 6 : 8;  // version, flags and a count of 2 or 4 bytes
    body.remove_prefix(std::min(head, body.size()));
    while (const std::optional<HeifBox> item = TakeHeifBox(&body)) {
      if (item->body.empty()) continue;
      // Version, flags, the item's number of 2 or 4 bytes, and 2 bytes of protection.
      const std::string_view type = item->body.substr(0, 16).size() < 12
                                        ? std::string_view()
                                        : item->body.substr(item->body[0] >= 3 ? 10 : 8, 4);
      if (type == "Exif" || type == "mime") ++metadata_;
    }
    if (metadata_ > bounds_.metadata) {
      return Refuse(Concat("it has more than ", bounds_.metadata, " pieces of metadata"));
    }
    return absl::OkStatus();
  }

  // Where the data of each item lies, in one piece or several, which libraries put together.
  absl::Status Locations(std::string_view body) {
    NumberReader reader(body);
    uint64_t version = 0;
    uint64_t sizes = 0;
    uint64_t more_sizes = 0;
    uint64_t count = 0;
    if (!reader.Take(1, &version) || !reader.Skip(3) || !reader.Take(1, &sizes) ||
        !reader.Take(1, &more_sizes) || !reader.Take(version < 2 ? 2 : 4, &count)) {
      return absl::OkStatus();
    }
    const size_t offset_size = sizes >> 4;
    const size_t length_size = sizes & 15;
    const size_t index_size = version == 0 ? 0 : more_sizes & 15;
    // Entries without a byte could be repeated for nothing, and stand for no data.
    if (length_size == 0) return Refuse("its index gives no sizes");
    const size_t before = (version < 2 ? 2 : 4) + (version == 0 ? 0 : 2) + 2 + (more_sizes >> 4);
    for (uint64_t item = 0; item < count; ++item) {
      uint64_t pieces = 0;
      if (!reader.Skip(before) || !reader.Take(2, &pieces)) return absl::OkStatus();
      for (uint64_t piece = 0; piece < pieces; ++piece) {
        uint64_t length = 0;
        if (!reader.Skip(index_size + offset_size) || !reader.Take(length_size, &length)) {
          return absl::OkStatus();
        }
        if (pieces < 2) continue;
        in_pieces_ += std::min(length, file_size_ + 1);
        if (in_pieces_ > file_size_) return Refuse("pieces of its data overlap");
      }
    }
    return absl::OkStatus();
  }

  // Which items belong to which: a grid refers to its tiles ("dimg").
  absl::Status References(std::string_view body) {
    if (body.size() < 4) return absl::OkStatus();
    const size_t item_size = body[0] == 0 ? 2 : 4;
    body.remove_prefix(4);
    while (const std::optional<HeifBox> box = TakeHeifBox(&body)) {
      // From which item, how many follow, and these.
      const size_t head = item_size + 2;
      const size_t count = (std::max(box->body.size(), head) - head) / item_size;
      references_ += count;
      if (box->type != "dimg") continue;
      index_.tiles += static_cast<int>(std::min<size_t>(count, bounds_.tiles + 1));
      if (index_.tiles > bounds_.tiles) {
        return Refuse(Concat("it has more than ", bounds_.tiles, " tiles"));
      }
    }
    if (references_ > kMostReferences) return Refuse("its items have more than 4096 references");
    return absl::OkStatus();
  }

  void Properties(std::string_view body) {
    while (const std::optional<HeifBox> list = TakeHeifBox(&body)) {
      if (list->type != "ipco") continue;
      std::string_view inside = list->body;
      while (const std::optional<HeifBox> box = TakeHeifBox(&inside)) {
        if (box->type == "colr") not_index_ += box->body.size();
        if (box->type == "ispe") StatedSize(box->body);
      }
    }
  }

  void StatedSize(std::string_view body) {
    if (body.size() < 12) return;
    const auto side = [body](size_t at) {
      return static_cast<int>(std::min<uint32_t>(ReadBig32(body, at), INT32_MAX));
    };
    const Size size = {side(4), side(8)};
    const auto pixels = [](Size of) { return int64_t{of.width} * of.height; };
    if (pixels(size) > pixels(index_.largest)) index_.largest = size;
  }

  const ImageFormat format_;
  const uint64_t file_size_;
  const HeifBounds bounds_;
  HeifIndex index_;
  uint64_t not_index_ = 0;  // bytes of data and colour profiles in the box at the top
  uint64_t in_pieces_ = 0;  // bytes of items that lie in several pieces
  uint64_t references_ = 0;
  int metadata_ = 0;
};

}  // namespace

bool HasMajorBrand(std::string_view file, std::string_view brand) {
  const std::optional<std::string_view> brands = Brands(file);
  return brands && brands->substr(0, 4) == brand;
}

bool HasBrand(std::string_view file, std::string_view brand) {
  const std::optional<std::string_view> brands = Brands(file);
  if (!brands) return false;
  if (brands->substr(0, 4) == brand) return true;
  for (size_t at = 8; at + 4 <= brands->size(); at += 4) {  // behind the major one and its version
    if (brands->substr(at, 4) == brand) return true;
  }
  return false;
}

absl::StatusOr<HeifIndex> ReadHeifIndex(ImageFormat format, std::string_view file,
                                        const HeifBounds& bounds) {
  IndexWalk walk(format, file, bounds);
  while (const std::optional<HeifBox> box = TakeHeifBox(&file)) {
    PIXPOOL_RETURN_IF_ERROR(walk.Top(*box));
  }
  HeifIndex index = walk.index();
  index.is_cut = index.is_cut || !file.empty();
  return index;
}

}  // namespace pixpool
