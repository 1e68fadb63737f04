// What a HEIF file says of its pictures: a list of items (coded pictures, grids of others, EXIF
// data), each with properties, data and references to other items (ISO/IEC 23008-12).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/image/formats.h"

namespace pixpool {

struct HeifItem {
  uint32_t id = 0;
  std::string_view type;   // "hvc1", "grid"; empty where none is stated
  bool is_hidden = false;  // not to be shown by itself
};

struct HeifProperty {
  std::string_view type;  // "ispe", "irot"
  std::string_view body;
  bool is_essential = false;  // who does not know it cannot show the item
};

// The data of an item: a part of the file, or several put together.
class HeifData {
 public:
  HeifData() = default;
  explicit HeifData(std::string_view part) : part_(part) {}
  explicit HeifData(std::string joined) : joined_(std::move(joined)) {}
  std::string_view bytes() const { return joined_.empty() ? part_ : joined_; }

 private:
  std::string_view part_;
  std::string joined_;
};

// The items of one file, whose bytes must outlive it. Thread-safe.
class HeifItems {
 public:
  // Reads the box `meta`, behind ReadHeifIndex, which bounds what is kept of it: about its size.
  // Errors: IMAGE_UNDECODABLE. Any bytes are safe.
  static absl::StatusOr<HeifItems> Read(ImageFormat format, std::string_view file);

  // The number of the item that the file is to be shown as.
  uint32_t primary() const { return primary_; }
  // Null where there is none of the number.
  const HeifItem* Find(uint32_t id) const;
  // In their order, of which turns and cuts are done one after the other.
  absl::StatusOr<std::vector<HeifProperty>> PropertiesOf(uint32_t id) const;
  // The items that one refers to, in order, as the first list of this type has them.
  std::vector<uint32_t> ReferencesOf(uint32_t id, std::string_view type) const;
  // The items that refer to one, from the lowest number on.
  std::vector<uint32_t> ReferencesTo(uint32_t id, std::string_view type) const;
  absl::StatusOr<HeifData> DataOf(uint32_t id) const;

 private:
  friend class HeifItemsReader;

  struct Piece {
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  struct Location {
    uint32_t id = 0;
    uint64_t method = 0;  // 0: in the file; 1: in the box `idat`
    uint64_t base = 0;    // added to the offset of each piece
    std::vector<Piece> pieces;
  };
  struct Association {
    uint64_t index = 0;  // of a property, from 1 on; 0: of none
    bool is_essential = false;
  };
  struct Associations {
    uint32_t id = 0;
    std::vector<Association> list;
  };
  struct Reference {
    std::string_view type;
    uint32_t from = 0;
    std::vector<uint32_t> to;
  };

  explicit HeifItems(ImageFormat format, std::string_view file) : format_(format), file_(file) {}

  ImageFormat format_;
  std::string_view file_;
  std::string_view idat_;
  uint32_t primary_ = 0;
  std::vector<HeifItem> items_;      // by number
  std::vector<Location> locations_;  // by number
  std::vector<HeifProperty> properties_;
  std::vector<Associations> associations_;  // by number
  std::vector<Reference> references_;
};

}  // namespace pixpool
