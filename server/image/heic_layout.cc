#include "server/image/heic_layout.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"
#include "server/image/heic_turns.h"
#include "server/image/heif_boxes.h"
#include "server/image/row_block.h"

namespace pixpool {
namespace {

// Of a side; what no limit lets through, cut so that products fit.
constexpr uint32_t kMostSide = 1 << 20;
// Tiles may go beyond their picture, all together up to a size that matters to nobody.
constexpr int64_t kFreeTilePixels = 1 << 22;

// Properties that libheif knows by name; of others that are essential nobody knows what they would
// do to the picture.
constexpr std::string_view kKnown[] = {"hvcC", "ispe", "colr", "pixi", "pasp", "clap", "irot",
                                       "imir", "auxC", "clli", "mdcv", "amve", "ndwt", "lsel",
                                       "udes", "cmin", "cmex", "rref", "prfr", "itai", "uuid",
                                       "av1C", "a1op", "a1lx", "free", "skip", "elng"};

constexpr std::string_view kAlphaTypes[] = {"urn:mpeg:avc:2015:auxid:1",
                                            "urn:mpeg:hevc:2015:auxid:1",
                                            "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"};

absl::Status Refuse(std::string_view detail) { return Undecodable(ImageFormat::kHeic, detail); }

absl::Status DamagedProperty(std::string_view type) {
  return Refuse(Concat("its boxes are damaged (", type, ")"));
}

bool IsTurn(std::string_view type) { return type == "irot" || type == "imir" || type == "clap"; }

const HeifProperty* FindProperty(const std::vector<HeifProperty>& properties,
                                 std::string_view type) {
  for (const HeifProperty& property : properties) {
    if (property.type == type) return &property;
  }
  return nullptr;
}

absl::Status CheckEssential(const std::vector<HeifProperty>& properties) {
  for (const HeifProperty& property : properties) {
    const bool is_known =
        std::find(std::begin(kKnown), std::end(kKnown), property.type) != std::end(kKnown);
    if (property.is_essential && !is_known) {
      return UnsupportedVariant(ImageFormat::kHeic,
                                "HEIC with an essential property of a new kind");
    }
    if (property.type == "iscl") {
      return UnsupportedVariant(ImageFormat::kHeic, "HEIC that is to be scaled");
    }
  }
  return absl::OkStatus();
}

// Of several the last counts.
absl::StatusOr<Size> StatedSize(const std::vector<HeifProperty>& properties) {
  Size size;
  for (const HeifProperty& property : properties) {
    if (property.type != "ispe") continue;
    if (property.body.size() < 12 || property.body[0] != 0) return DamagedProperty("ispe");
    const auto side = [&property](size_t at) {
      return static_cast<int>(std::min(ReadBig32(property.body, at), kMostSide));
    };
    size = {side(4), side(8)};
    if (size.width == 0 || size.height == 0) return Refuse("its size is out of range");
  }
  if (size.width == 0) return Refuse("it states no size");
  return size;
}

// What the boxes `colr` of an item say.
struct Colors {
  std::optional<HevcColors> codes;
  bool has_profile = false;  // an ICC profile, which is not applied

  void Add(const Colors& others) {
    if (!codes) codes = others.codes;
    has_profile = has_profile || others.has_profile;
  }
};

// Whether pillow-heif knows all codes, which it asks where there is no profile.
bool AreKnown(const HevcColors& colors) {
  const auto among = [](uint64_t code, uint64_t least, uint64_t most, uint64_t but) {
    return code >= least && code <= most && code != but;
  };
  return (among(colors.primaries, 1, 12, 3) || colors.primaries == 22) &&
         among(colors.transfer, 1, 18, 3) && among(colors.matrix, 0, 14, 3);
}

absl::StatusOr<Colors> StatedColors(const std::vector<HeifProperty>& properties) {
  Colors out;
  for (const HeifProperty& property : properties) {
    if (property.type != "colr") continue;
    NumberReader reader(property.body);
    const std::string_view kind = property.body.substr(0, 4);
    if (kind == "prof" || kind == "rICC") {
      out.has_profile = true;
      continue;
    }
    const bool is_nclx = kind == "nclx";
    HevcColors colors;
    uint64_t range = 0;
    if ((!is_nclx && kind != "nclc") || !reader.Skip(4) || !reader.Take(2, &colors.primaries) ||
        !reader.Take(2, &colors.transfer) || !reader.Take(2, &colors.matrix) ||
        (is_nclx && !reader.Take(1, &range))) {
      return DamagedProperty("colr");
    }
    colors.full_range = is_nclx ? (range & 0x80) != 0 : colors.matrix == 0;
    out.codes = colors.is_said() ? std::optional(colors) : std::nullopt;
  }
  return out;
}

absl::StatusOr<HevcConfiguration> ConfigurationOf(const std::vector<HeifProperty>& properties) {
  const HeifProperty* const property = FindProperty(properties, "hvcC");
  if (property == nullptr) return Refuse("a picture of it has no parameters (hvcC)");
  std::optional<HevcConfiguration> configuration = ReadHevcConfiguration(property->body);
  if (!configuration) return DamagedProperty("hvcC");
  return *std::move(configuration);
}

// How the tiles of a grid lie.
absl::Status ReadGrid(const HeifItems& items, uint32_t id, HeicPicture* picture) {
  PIXPOOL_ASSIGN_OR_RETURN(const HeifData data, items.DataOf(id));
  NumberReader reader(data.bytes());
  uint64_t version = 0;
  uint64_t flags = 0;
  uint64_t rows = 0;
  uint64_t columns = 0;
  uint64_t width = 0;
  uint64_t height = 0;
  if (!reader.Take(1, &version) || version != 0 || !reader.Take(1, &flags) ||
      !reader.Take(1, &rows) || !reader.Take(1, &columns)) {
    return Refuse("its grid of tiles is damaged");
  }
  const size_t side = (flags & 1) != 0 ? 4 : 2;
  if (!reader.Take(side, &width) || !reader.Take(side, &height)) {
    return Refuse("its grid of tiles is damaged");
  }
  picture->rows = static_cast<int>(rows + 1);
  picture->columns = static_cast<int>(columns + 1);
  picture->items = items.ReferencesOf(id, "dimg");
  if (picture->items.size() != (rows + 1) * (columns + 1)) return Refuse("it lacks tiles");
  const auto is = [](uint64_t said, int stated) {
    return std::min<uint64_t>(said, kMostSide) == static_cast<uint64_t>(stated);
  };
  if (!is(width, picture->size.width) || !is(height, picture->size.height)) {
    return Refuse("its grid of tiles has another size than the file states");
  }
  return absl::OkStatus();
}

absl::Status CheckTiles(const HeicPicture& picture) {
  const Size size = picture.size;
  const Size tile = picture.tile;
  const int64_t width = int64_t{tile.width} * picture.columns;
  const int64_t height = int64_t{tile.height} * picture.rows;
  if (width < size.width || height < size.height) {
    return Refuse("its tiles do not cover its picture");
  }
  if (width * height > std::max(4 * int64_t{size.width} * size.height, kFreeTilePixels)) {
    return Refuse("its tiles are far larger than its picture");
  }
  const bool halves_x = picture.chroma == 1 || picture.chroma == 2;
  const bool halves_y = picture.chroma == 1;
  if ((halves_x && picture.columns > 1 && tile.width % 2 == 1) ||
      (halves_y && picture.rows > 1 && tile.height % 2 == 1)) {
    return UnsupportedVariant(ImageFormat::kHeic,
                              "HEIC whose tiles have odd sides and share colours");
  }
  return absl::OkStatus();
}

absl::Status Turn(const std::vector<HeifProperty>& properties, HeicPicture* picture) {
  HeicTurns turns(picture->size, picture->chroma);
  for (const HeifProperty& property : properties) {
    if ((property.type == "irot" && !turns.Rotate(property.body)) ||
        (property.type == "imir" && !turns.Mirror(property.body)) ||
        (property.type == "clap" && !turns.Cut(property.body))) {
      return DamagedProperty(property.type);
    }
  }
  picture->shown = turns.shown();
  picture->orientation = turns.orientation();
  picture->smooth = turns.smooth();
  return absl::OkStatus();
}

absl::StatusOr<HeicPicture> ReadPicture(const HeifItems& items, uint32_t id) {
  const HeifItem* const item = items.Find(id);
  if (item == nullptr) return Refuse("its primary picture is missing");
  HeicPicture picture;
  picture.is_grid = item->type == "grid";
  if (!picture.is_grid && item->type != "hvc1") {
    return UnsupportedVariant(ImageFormat::kHeic,
                              "HEIC whose picture is neither coded as HEVC nor a grid of such");
  }
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<HeifProperty> properties, items.PropertiesOf(id));
  PIXPOOL_RETURN_IF_ERROR(CheckEssential(properties));
  PIXPOOL_ASSIGN_OR_RETURN(picture.size, StatedSize(properties));
  PIXPOOL_ASSIGN_OR_RETURN(Colors colors, StatedColors(properties));
  picture.tile = picture.size;
  picture.items = {id};
  if (picture.is_grid) {
    PIXPOOL_RETURN_IF_ERROR(ReadGrid(items, id, &picture));
    PIXPOOL_ASSIGN_OR_RETURN(const auto of_tile, items.PropertiesOf(picture.items[0]));
    PIXPOOL_ASSIGN_OR_RETURN(picture.tile, StatedSize(of_tile));
    PIXPOOL_ASSIGN_OR_RETURN(const HevcConfiguration configuration, ConfigurationOf(of_tile));
    picture.chroma = configuration.chroma;
    picture.bits = configuration.luma_bits;
    PIXPOOL_ASSIGN_OR_RETURN(const Colors colors_of_tile, StatedColors(of_tile));
    colors.Add(colors_of_tile);
    PIXPOOL_RETURN_IF_ERROR(CheckTiles(picture));
  } else {
    PIXPOOL_ASSIGN_OR_RETURN(const HevcConfiguration configuration, ConfigurationOf(properties));
    picture.chroma = configuration.chroma;
    picture.bits = configuration.luma_bits;
  }
  if (colors.codes && !colors.has_profile && !AreKnown(*colors.codes)) {
    return UnsupportedVariant(ImageFormat::kHeic, "HEIC with colours of this kind");
  }
  picture.colors = colors.codes;
  PIXPOOL_RETURN_IF_ERROR(Turn(properties, &picture));
  return picture;
}

// The item with the alpha of another; of several the last.
absl::StatusOr<std::optional<uint32_t>> FindAlpha(const HeifItems& items, uint32_t id) {
  std::optional<uint32_t> alpha;
  for (const uint32_t from : items.ReferencesTo(id, "auxl")) {
    if (from == id) return Refuse("its alpha is its own");
    if (items.Find(from) == nullptr) continue;
    PIXPOOL_ASSIGN_OR_RETURN(const std::vector<HeifProperty> properties, items.PropertiesOf(from));
    const HeifProperty* const property = FindProperty(properties, "auxC");
    if (property == nullptr) return DamagedProperty("auxC");
    std::string_view type = property->body.substr(std::min<size_t>(4, property->body.size()));
    type = type.substr(0, type.find('\0'));
    if (std::find(std::begin(kAlphaTypes), std::end(kAlphaTypes), type) != std::end(kAlphaTypes)) {
      alpha = from;
    }
  }
  return alpha;
}

// What a decoder of the most demanding tile holds.
absl::StatusOr<int64_t> DecoderBytes(const HeifItems& items, const HeicPicture& picture) {
  int64_t most = 0;
  for (const uint32_t id : picture.items) {
    PIXPOOL_ASSIGN_OR_RETURN(const HeicTile tile, ReadHeicTile(items, picture, id));
    most = std::max(most, HevcDecoderBytes(tile.configuration, tile.demand,
                                           static_cast<int64_t>(tile.data.bytes().size())));
  }
  return most;
}

int64_t BandBytes(const HeicPicture& picture) {
  const bool is_tiled = picture.items.size() > 1;
  const int64_t wide = picture.bits > 8 ? 2 : 1;
  const int64_t samples = picture.chroma == 0 ? 1 : picture.chroma == 3 ? 3 : 2;
  return is_tiled ? wide * samples * BoundedPixels(picture.size.width, HeicBandRows(picture)) : 0;
}

}  // namespace

Size HeicPicture::UprightSize() const {
  return pixpool::UprightSize(Size{shown.width, shown.height}, orientation);
}

int HeicBandRows(const HeicPicture& picture) {
  return picture.smooth ? picture.size.height : picture.tile.height;
}

absl::StatusOr<HeicTile> ReadHeicTile(const HeifItems& items, const HeicPicture& picture,
                                      uint32_t id) {
  const HeifItem* const item = items.Find(id);
  if (item == nullptr || item->type != "hvc1") {
    return UnsupportedVariant(ImageFormat::kHeic, "HEIC whose tiles are not coded as HEVC");
  }
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<HeifProperty> properties, items.PropertiesOf(id));
  PIXPOOL_RETURN_IF_ERROR(CheckEssential(properties));
  PIXPOOL_ASSIGN_OR_RETURN(const Size size, StatedSize(properties));
  if (size != picture.tile) return Refuse("its tiles have several sizes");
  if (picture.is_grid) {
    for (const HeifProperty& property : properties) {
      const bool is_none = property.type == "irot" && !property.body.empty() &&
                           (ReadByte(property.body, 0) & 3) == 0;
      if (IsTurn(property.type) && !is_none) {
        return UnsupportedVariant(ImageFormat::kHeic, "HEIC whose tiles are turned or cut");
      }
    }
  }
  HeicTile tile;
  PIXPOOL_ASSIGN_OR_RETURN(tile.configuration, ConfigurationOf(properties));
  PIXPOOL_ASSIGN_OR_RETURN(tile.data, items.DataOf(id));
  PIXPOOL_ASSIGN_OR_RETURN(tile.demand,
                           ReadHevcDemand(tile.configuration, tile.data.bytes(), size));
  return tile;
}

absl::StatusOr<HeicLayout> ReadHeicLayout(const HeifItems& items) {
  HeicLayout layout;
  const uint32_t id = items.primary();
  const HeifItem* const primary = items.Find(id);
  if (primary == nullptr || primary->is_hidden) return Refuse("its primary picture is missing");
  PIXPOOL_ASSIGN_OR_RETURN(layout.picture, ReadPicture(items, id));
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t decoder, DecoderBytes(items, layout.picture));
  layout.decode_bytes = decoder + BandBytes(layout.picture) + 16 * layout.picture.size.width +
                        RowBlock::MostBytes(layout.picture.shown.width);
  PIXPOOL_ASSIGN_OR_RETURN(const std::optional<uint32_t> alpha, FindAlpha(items, id));
  if (!alpha) return layout;
  PIXPOOL_ASSIGN_OR_RETURN(layout.alpha, ReadPicture(items, *alpha));
  layout.is_premultiplied = !items.ReferencesOf(id, "prem").empty();
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t alpha_decoder, DecoderBytes(items, *layout.alpha));
  // Of alpha a byte a pixel is kept, first as it is coded and then as the picture lies.
  const Size size = layout.alpha->size;
  const Region shown = layout.picture.shown;
  layout.decode_bytes = std::max(layout.decode_bytes, alpha_decoder + BandBytes(*layout.alpha)) +
                        BoundedPixels(size.width, size.height) +
                        BoundedPixels(shown.width, shown.height) + 8 * shown.width;
  return layout;
}

}  // namespace pixpool
