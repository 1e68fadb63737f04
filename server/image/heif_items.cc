#include "server/image/heif_items.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/codec.h"
#include "server/image/heif_boxes.h"

namespace pixpool {
namespace {

// What libheif allows by default: items, and pieces of the data of one.
constexpr uint64_t kMostItems = 1000;
constexpr uint64_t kMostPieces = 32;

// The numbers with which many boxes begin.
struct FullBox {
  uint64_t version = 0;
  uint64_t flags = 0;
};

bool TakeFullBox(NumberReader* reader, FullBox* head) {
  return reader->Take(1, &head->version) && reader->Take(3, &head->flags);
}

bool TakeId(NumberReader* reader, bool is_wide, uint32_t* id) {
  uint64_t number = 0;
  if (!reader->Take(is_wide ? 4 : 2, &number)) return false;
  *id = static_cast<uint32_t>(number);
  return true;
}

// A number whose size the box states; of sizes that may not be there is nothing, and it is 0.
bool TakeSized(NumberReader* reader, uint64_t size, uint64_t* number) {
  *number = 0;
  return (size != 4 && size != 8) || reader->Take(size, number);
}

// Of entries with the same number the first counts.
template <typename Entry>
void SortById(std::vector<Entry>* entries) {
  std::stable_sort(entries->begin(), entries->end(),
                   [](const Entry& a, const Entry& b) { return a.id < b.id; });
}

template <typename Entry>
const Entry* FindById(const std::vector<Entry>& entries, uint32_t id) {
  const auto found = std::lower_bound(entries.begin(), entries.end(), id,
                                      [](const Entry& a, uint32_t b) { return a.id < b; });
  return found != entries.end() && found->id == id ? &*found : nullptr;
}

}  // namespace

class HeifItemsReader {
 public:
  explicit HeifItemsReader(HeifItems* items) : items_(*items) {}

  absl::Status Meta(const HeifBox& meta) {
    if (meta.is_cut) return Truncated(items_.format_, "it is truncated");
    NumberReader reader(meta.body);
    FullBox head;
    if (!TakeFullBox(&reader, &head) || head.version != 0) return Damaged("meta");
    std::string_view inside = reader.rest();
    while (const std::optional<HeifBox> box = TakeHeifBox(&inside)) {
      if (box->is_cut) return Damaged(box->type);
      if (!Child(*box)) return Damaged(box->type);
    }
    if (!inside.empty()) return Damaged("meta");
    for (const bool has : {is_picture_, has_primary_, has_items_, has_locations_, has_properties_,
                           has_associations_}) {
      if (!has) return Undecodable(items_.format_, "its index lacks a part");
    }
    SortById(&items_.items_);
    SortById(&items_.locations_);
    SortById(&items_.associations_);
    return absl::OkStatus();
  }

 private:
  absl::Status Damaged(std::string_view type) const {
    // Types are of any bytes.
    const bool is_text =
        std::all_of(type.begin(), type.end(), [](char c) { return c >= ' ' && c <= '~'; });
    return Undecodable(items_.format_,
                       Concat("its boxes are damaged", is_text ? Concat(" (", type, ")") : ""));
  }

  // Of boxes that a file should have once, the first counts.
  bool Child(const HeifBox& box) {
    const auto first = [](bool* has) { return !std::exchange(*has, true); };
    if (box.type == "hdlr") return !first(&has_handler_) || Handler(box.body);
    if (box.type == "pitm") return !first(&has_primary_) || Primary(box.body);
    if (box.type == "iinf") return !first(&has_items_) || Items(box.body);
    if (box.type == "iloc") return !first(&has_locations_) || Locations(box.body);
    if (box.type == "iref") return !first(&has_references_) || References(box.body);
    if (box.type == "iprp") return !first(&has_property_lists_) || Properties(box.body);
    if (box.type == "idat" && first(&has_idat_)) items_.idat_ = box.body;
    return true;
  }

  bool Handler(std::string_view body) {
    NumberReader reader(body);
    FullBox head;
    if (!TakeFullBox(&reader, &head) || head.version != 0 || body.size() < 24) return false;
    is_picture_ = body.substr(8, 4) == "pict";
    return true;
  }

  bool Primary(std::string_view body) {
    NumberReader reader(body);
    FullBox head;
    return TakeFullBox(&reader, &head) && head.version <= 1 &&
           TakeId(&reader, head.version == 1, &items_.primary_);
  }

  bool Items(std::string_view body) {
    NumberReader reader(body);
    FullBox head;
    uint64_t count = 0;
    if (!TakeFullBox(&reader, &head) || !reader.Take(head.version == 0 ? 2 : 4, &count)) {
      return false;
    }
    std::string_view inside = reader.rest();
    for (; count > 0 && !inside.empty(); --count) {
      const std::optional<HeifBox> box = TakeHeifBox(&inside);
      if (!box || box->is_cut) return false;
      if (box->type == "infe" && !Item(box->body)) return false;
    }
    return true;
  }

  bool Item(std::string_view body) {
    NumberReader reader(body);
    FullBox head;
    HeifItem item;
    if (!TakeFullBox(&reader, &head) || head.version > 3 ||
        !TakeId(&reader, head.version == 3, &item.id) || !reader.Skip(2)) {
      return false;
    }
    if (head.version >= 2) {
      item.type = reader.rest().substr(0, 4);
      if (!reader.Skip(4)) return false;
      item.is_hidden = (head.flags & 1) != 0;
    }
    items_.items_.push_back(item);
    return true;
  }

  bool Locations(std::string_view body) {
    NumberReader reader(body);
    FullBox head;
    uint64_t sizes = 0;
    uint64_t count = 0;
    if (!TakeFullBox(&reader, &head) || head.version > 2 || !reader.Take(2, &sizes) ||
        !reader.Take(head.version < 2 ? 2 : 4, &count) || count > kMostItems) {
      return false;
    }
    for (; count > 0; --count) {
      HeifItems::Location item;
      if (!TakeId(&reader, head.version == 2, &item.id)) return false;
      if (head.version > 0) {
        if (!reader.Take(2, &item.method)) return false;
        item.method &= 15;
      }
      uint64_t pieces = 0;
      if (!reader.Skip(2) || !TakeSized(&reader, sizes >> 4 & 15, &item.base) ||
          !reader.Take(2, &pieces) || pieces > kMostPieces) {
        return false;
      }
      for (; pieces > 0; --pieces) {
        HeifItems::Piece piece;
        uint64_t index = 0;
        if (!TakeSized(&reader, head.version == 0 ? 0 : sizes & 15, &index) ||
            !TakeSized(&reader, sizes >> 12, &piece.offset) ||
            !TakeSized(&reader, sizes >> 8 & 15, &piece.length)) {
          return false;
        }
        item.pieces.push_back(piece);
      }
      if (!CanBeJoined(item)) return false;
      items_.locations_.push_back(std::move(item));
    }
    return true;
  }

  // Pieces are copied to be joined: of all items together, no more than the file has bytes.
  bool CanBeJoined(const HeifItems::Location& item) {
    if (item.pieces.size() < 2) return true;
    for (const HeifItems::Piece& piece : item.pieces) {
      if (piece.length > items_.file_.size() - joined_) return false;
      joined_ += piece.length;
    }
    return true;
  }

  bool References(std::string_view body) {
    NumberReader reader(body);
    FullBox head;
    if (!TakeFullBox(&reader, &head) || head.version > 1) return false;
    std::string_view inside = reader.rest();
    while (const std::optional<HeifBox> box = TakeHeifBox(&inside)) {
      NumberReader list(box->body);
      HeifItems::Reference reference = {.type = box->type};
      uint64_t count = 0;
      if (box->is_cut || !TakeId(&list, head.version == 1, &reference.from) ||
          !list.Take(2, &count) || count == 0 || count > kMostItems) {
        return false;
      }
      for (; count > 0; --count) {
        uint32_t to = 0;
        if (!TakeId(&list, head.version == 1, &to)) return false;
        reference.to.push_back(to);
      }
      std::vector<uint32_t> sorted = reference.to;
      std::sort(sorted.begin(), sorted.end());
      if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) return false;
      items_.references_.push_back(std::move(reference));
    }
    return inside.empty();
  }

  bool Properties(std::string_view body) {
    while (const std::optional<HeifBox> list = TakeHeifBox(&body)) {
      if (list->is_cut) return false;
      if (list->type == "ipma" && !AssociationsIn(list->body)) return false;
      if (list->type != "ipco" || std::exchange(has_properties_, true)) continue;
      std::string_view inside = list->body;
      while (const std::optional<HeifBox> box = TakeHeifBox(&inside)) {
        if (box->is_cut) return false;
        items_.properties_.push_back({box->type, box->body});
      }
      if (!inside.empty()) return false;
    }
    return body.empty();
  }

  bool AssociationsIn(std::string_view body) {
    has_associations_ = true;
    NumberReader reader(body);
    FullBox head;
    uint64_t count = 0;
    if (!TakeFullBox(&reader, &head) || head.version > 1 || !reader.Take(4, &count) ||
        count > kMostItems) {
      return false;
    }
    const size_t size = (head.flags & 1) != 0 ? 2 : 1;
    const uint64_t essential = size == 2 ? 0x8000 : 0x80;
    for (; count > 0 && !reader.rest().empty(); --count) {
      HeifItems::Associations item;
      uint64_t properties = 0;
      if (!TakeId(&reader, head.version == 1, &item.id) || !reader.Take(1, &properties)) {
        return false;
      }
      for (; properties > 0; --properties) {
        uint64_t number = 0;
        if (!reader.Take(size, &number)) return false;
        item.list.push_back({number & (essential - 1), (number & essential) != 0});
      }
      items_.associations_.push_back(std::move(item));
    }
    return true;
  }

  HeifItems& items_;
  uint64_t joined_ = 0;  // bytes of items in several pieces, at most the file's
  bool is_picture_ = false;
  bool has_handler_ = false;
  bool has_primary_ = false;
  bool has_items_ = false;
  bool has_locations_ = false;
  bool has_references_ = false;
  bool has_property_lists_ = false;
  bool has_properties_ = false;
  bool has_associations_ = false;
  bool has_idat_ = false;
};

absl::StatusOr<HeifItems> HeifItems::Read(ImageFormat format, std::string_view file) {
  std::optional<HeifBox> meta;
  std::string_view rest = file;
  while (const std::optional<HeifBox> box = TakeHeifBox(&rest)) {
    if (box->type == "meta") meta = box;
    if (box->is_cut) break;
  }
  if (!meta) return Truncated(format, "it is truncated");
  HeifItems items(format, file);
  PIXPOOL_RETURN_IF_ERROR(HeifItemsReader(&items).Meta(*meta));
  return items;
}

const HeifItem* HeifItems::Find(uint32_t id) const { return FindById(items_, id); }

absl::StatusOr<std::vector<HeifProperty>> HeifItems::PropertiesOf(uint32_t id) const {
  const Associations* const item = FindById(associations_, id);
  if (item == nullptr) return Undecodable(format_, "a picture of it has no properties");
  std::vector<HeifProperty> properties;
  for (const Association& one : item->list) {
    if (one.index > properties_.size()) {
      return Undecodable(format_, "a property of its pictures is missing");
    }
    if (one.index == 0) continue;
    properties.push_back(properties_[one.index - 1]);
    properties.back().is_essential = one.is_essential;
  }
  return properties;
}

std::vector<uint32_t> HeifItems::ReferencesOf(uint32_t id, std::string_view type) const {
  for (const Reference& reference : references_) {
    if (reference.from == id && reference.type == type) return reference.to;
  }
  return {};
}

std::vector<uint32_t> HeifItems::ReferencesTo(uint32_t id, std::string_view type) const {
  std::vector<uint32_t> from;
  for (const Reference& reference : references_) {
    if (reference.type != type) continue;
    if (std::find(reference.to.begin(), reference.to.end(), id) != reference.to.end()) {
      from.push_back(reference.from);
    }
  }
  std::sort(from.begin(), from.end());
  return from;
}

absl::StatusOr<HeifData> HeifItems::DataOf(uint32_t id) const {
  const Location* const item = FindById(locations_, id);
  if (item == nullptr) return Undecodable(format_, "a picture of it has no data");
  if (item->method > 1) return Undecodable(format_, "its data is in parts of other data");
  const std::string_view from = item->method == 0 ? file_ : idat_;
  std::vector<std::string_view> parts;
  for (const Piece& piece : item->pieces) {
    const bool fits = item->base <= from.size() && piece.offset <= from.size() - item->base &&
                      piece.length <= from.size() - item->base - piece.offset;
    if (!fits) return Truncated(format_, "it is truncated");
    parts.push_back(from.substr(item->base + piece.offset, piece.length));
  }
  if (parts.size() == 1) return HeifData(parts[0]);
  std::string joined;
  for (const std::string_view part : parts) joined.append(part);
  return HeifData(std::move(joined));
}

}  // namespace pixpool
