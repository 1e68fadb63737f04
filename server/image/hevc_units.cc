#include "server/image/hevc_units.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "server/base/status_macros.h"
#include "server/image/codec.h"
#include "server/image/heif_boxes.h"

namespace pixpool {
namespace {

constexpr size_t kUnitHeader = 2;
constexpr int kFirstParameterSet = 32;  // types below are slices
constexpr int kSequenceType = 33;
constexpr int kPictureType = 34;
constexpr int kMostParameterSets = 64;
constexpr int kMostPictures = 8;
constexpr int kMostSlices = 600;
constexpr int kMostUnits = 4096;
constexpr int kMostSequences = 16;  // they are numbered 0 to 15
constexpr int kLargestBlock = 64;
// Of a side, so that sums and products fit; no limit lets more through.
constexpr uint32_t kMostSide = 1 << 20;

int UnitType(std::string_view unit) { return static_cast<int>(ReadByte(unit, 0) >> 1 & 63); }

// Layers above the first belong to extensions, and are passed over.
int UnitLayer(std::string_view unit) {
  return static_cast<int>((ReadByte(unit, 0) & 1) << 5 | ReadByte(unit, 1) >> 3);
}

// The bytes of a unit without those that keep start codes out of it: a 3 behind two zeros.
std::string WithoutEmulation(std::string_view unit) {
  std::string out;
  out.reserve(unit.size());
  int zeros = 0;
  for (const char c : unit) {
    if (zeros >= 2 && c == 3) {
      zeros = 0;
      continue;
    }
    zeros = c == 0 ? zeros + 1 : 0;
    out.push_back(c);
  }
  return out;
}

// Takes bits from the front of bytes. Behind the end there are zeros, and ok() is false.
class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  uint32_t Bit() {
    if (at_ / 8 >= bytes_.size()) {
      ok_ = false;
      return 0;
    }
    const uint32_t bit = ReadByte(bytes_, at_ / 8) >> (7 - at_ % 8) & 1;
    ++at_;
    return bit;
  }
  uint32_t Bits(int count) {
    uint32_t bits = 0;
    for (int i = 0; i < count; ++i) bits = bits << 1 | Bit();
    return bits;
  }
  void Skip(int count) {
    for (int i = 0; i < count; ++i) Bit();
  }
  // An unsigned Exp-Golomb code, of at most 20 leading zeros.
  uint32_t Golomb() {
    int zeros = 0;
    while (Bit() == 0) {
      if (!ok_ || ++zeros > 20) {
        ok_ = false;
        return 0;
      }
    }
    return (1u << zeros) - 1 + Bits(zeros);
  }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

// profile_tier_level, of which nothing matters here.
void SkipProfile(int sub_layers, BitReader* bits) {
  bits->Skip(88 + 8);
  bool has_profile[8] = {};
  bool has_level[8] = {};
  for (int i = 0; i < sub_layers; ++i) {
    has_profile[i] = bits->Bit() != 0;
    has_level[i] = bits->Bit() != 0;
  }
  if (sub_layers > 0) bits->Skip(2 * (8 - sub_layers));
  for (int i = 0; i < sub_layers; ++i)
    bits->Skip((has_profile[i] ? 88 : 0) + (has_level[i] ? 8 : 0));
}

// Reads on behind the numbers of bits: whether the sizes of blocks are such as there may be.
// libde265 writes to standard error about others.
bool HasBlocks(int sub_layers, uint32_t width, uint32_t height, BitReader* bits) {
  bits->Golomb();
  for (int i = bits->Bit() != 0 ? 0 : sub_layers; i <= sub_layers; ++i) {
    for (int k = 0; k < 3; ++k) bits->Golomb();
  }
  const uint32_t coding = 3 + bits->Golomb();  // the base-2 logarithm of the smallest
  const uint32_t largest_coding = coding + bits->Golomb();
  const uint32_t transform = 2 + bits->Golomb();
  const uint32_t largest_transform = transform + bits->Golomb();
  const uint32_t depth = std::max(bits->Golomb(), bits->Golomb());
  if (transform > largest_coding || depth > largest_coding - transform) return false;
  return bits->ok() && largest_coding >= 4 && largest_coding <= 6 && transform <= coding &&
         largest_transform <= std::min(largest_coding, 5u) && width % (1u << coding) == 0 &&
         height % (1u << coding) == 0;
}

// Counts the units of an item.
class DemandCounter {
 public:
  DemandCounter(const HevcConfiguration& configuration, Size stated)
      : configuration_(configuration), stated_(stated) {}

  const HevcDemand& demand() const { return demand_; }

  absl::Status Add(std::string_view unit) {
    if (++demand_.units > kMostUnits) return Refuse("its data is in more than 4096 units");
    if (unit.size() < kUnitHeader || UnitLayer(unit) > 0) return absl::OkStatus();
    if (UnitType(unit) < kFirstParameterSet) {
      const bool is_first = unit.size() > kUnitHeader && (ReadByte(unit, kUnitHeader) & 0x80) != 0;
      if (is_first && ++demand_.pictures > kMostPictures) {
        return Refuse("its data holds more than 8 pictures");
      }
      if (++demand_.slices > kMostSlices) return Refuse("it is in more than 600 slices");
    }
    if (UnitType(unit) == kPictureType) {
      demand_.parameter_sets = std::min(demand_.parameter_sets + 1, kMostParameterSets);
    }
    return UnitType(unit) == kSequenceType ? Sequence(unit) : absl::OkStatus();
  }

 private:
  static absl::Status Refuse(std::string_view detail) {
    return Undecodable(ImageFormat::kHeic, detail);
  }

  absl::Status Sequence(std::string_view unit) {
    // Each is read, for each tile that names it.
    if (++sequences_ > kMostSequences) return Refuse("it has more than 16 sequence sets");
    const std::optional<HevcSequence> sequence = ReadHevcSequence(unit);
    if (!sequence) return Refuse("its compressed data is damaged");
    const Size coded = sequence->coded;
    if (sequence->visible != stated_ || coded.width > stated_.width + kLargestBlock ||
        coded.height > stated_.height + kLargestBlock) {
      return Refuse("its picture has another size than the file states");
    }
    if (sequence->is_cut_before && sequence->luma_bits > 8) {
      return UnsupportedVariant(
          ImageFormat::kHeic,
          "HEIC of more than 8 bits whose data is cut at the left or upper edge");
    }
    // The price goes by the configuration.
    if (sequence->chroma != configuration_.chroma ||
        sequence->luma_bits != configuration_.luma_bits) {
      return Refuse("its data has other samples than its parameters (hvcC) state");
    }
    if (sequence->chroma != 0 && sequence->chroma_bits != sequence->luma_bits) {
      return UnsupportedVariant(ImageFormat::kHeic,
                                "HEIC with other numbers of bits for light than for colour");
    }
    demand_.coded.width = std::max(demand_.coded.width, coded.width);
    demand_.coded.height = std::max(demand_.coded.height, coded.height);
    return absl::OkStatus();
  }

  const HevcConfiguration& configuration_;
  const Size stated_;
  HevcDemand demand_;
  int sequences_ = 0;
};

}  // namespace

std::optional<HevcSequence> ReadHevcSequence(std::string_view unit) {
  // What is read lies in its first bytes, and a file may repeat long ones.
  constexpr size_t kRead = 1024;
  const std::string plain = WithoutEmulation(unit.substr(0, kRead));
  BitReader bits(plain);
  bits.Skip(8 * static_cast<int>(kUnitHeader) + 4);
  const int sub_layers = static_cast<int>(bits.Bits(3));
  bits.Skip(1);
  SkipProfile(sub_layers, &bits);
  bits.Golomb();  // its number
  const uint32_t chroma = bits.Golomb();
  if (chroma > 3) return std::nullopt;
  if (chroma == 3) bits.Skip(1);
  const uint32_t width = bits.Golomb();
  const uint32_t height = bits.Golomb();
  if (width == 0 || height == 0 || std::max(width, height) > kMostSide) return std::nullopt;
  uint32_t cut_width = 0;
  uint32_t cut_height = 0;
  bool is_cut_before = false;
  if (bits.Bit() != 0) {
    const uint32_t left = bits.Golomb();
    const uint32_t right = bits.Golomb();
    const uint32_t top = bits.Golomb();
    const uint32_t bottom = bits.Golomb();
    is_cut_before = left > 0 || top > 0;
    cut_width = (left + right) * (chroma == 1 || chroma == 2 ? 2 : 1);
    cut_height = (top + bottom) * (chroma == 1 ? 2 : 1);
  }
  const uint32_t luma_bits = 8 + bits.Golomb();
  const uint32_t chroma_bits = 8 + bits.Golomb();
  if (!HasBlocks(sub_layers, width, height, &bits)) return std::nullopt;
  if (!bits.ok() || cut_width >= width || cut_height >= height || luma_bits > 16 ||
      chroma_bits > 16) {
    return std::nullopt;
  }
  const auto size = [](uint32_t w, uint32_t h) {
    return Size{static_cast<int>(w), static_cast<int>(h)};
  };
  return HevcSequence{.coded = size(width, height),
                      .visible = size(width - cut_width, height - cut_height),
                      .is_cut_before = is_cut_before,
                      .chroma = static_cast<int>(chroma),
                      .luma_bits = static_cast<int>(luma_bits),
                      .chroma_bits = static_cast<int>(chroma_bits)};
}

std::optional<HevcConfiguration> ReadHevcConfiguration(std::string_view body) {
  NumberReader reader(body);
  HevcConfiguration out;
  uint64_t chroma = 0;
  uint64_t luma_bits = 0;
  uint64_t arrays = 0;
  // Version, profile and level, then the format, 5 bytes that do not matter, and the units.
  if (!reader.Skip(16) || !reader.Take(1, &chroma) || !reader.Take(1, &luma_bits) ||
      !reader.Skip(4) || !reader.Take(1, &arrays)) {
    return std::nullopt;
  }
  out.chroma = static_cast<int>(chroma & 3);
  out.luma_bits = static_cast<int>(8 + (luma_bits & 7));
  uint64_t all_units = 0;
  for (; arrays > 0; --arrays) {
    uint64_t units = 0;
    if (!reader.Skip(1) || !reader.Take(2, &units)) return std::nullopt;
    all_units += units;
    if (all_units > kMostUnits) return std::nullopt;
    for (; units > 0; --units) {
      uint64_t size = 0;
      if (!reader.Take(2, &size)) return std::nullopt;
      const std::string_view unit = reader.rest().substr(0, size);
      if (!reader.Skip(size)) return std::nullopt;
      if (size > 0) out.units.push_back(unit);
    }
  }
  return out;
}

absl::StatusOr<HevcDemand> ReadHevcDemand(const HevcConfiguration& configuration,
                                          std::string_view data, Size stated) {
  DemandCounter counter(configuration, stated);
  for (const std::string_view unit : configuration.units) {
    PIXPOOL_RETURN_IF_ERROR(counter.Add(unit));
  }
  NumberReader reader(data);
  while (!reader.rest().empty()) {
    uint64_t size = 0;
    const bool has_size = reader.Take(4, &size);
    const std::string_view unit = reader.rest().substr(0, size);
    if (!has_size || !reader.Skip(size)) {
      return Truncated(ImageFormat::kHeic, "its compressed data is truncated");
    }
    PIXPOOL_RETURN_IF_ERROR(counter.Add(unit));
  }
  if (counter.demand().pictures == 0) {
    return Undecodable(ImageFormat::kHeic, "it has no picture that is coded as HEVC");
  }
  if (counter.demand().coded.width == 0) {
    return Undecodable(ImageFormat::kHeic, "its compressed data is damaged");
  }
  return counter.demand();
}

}  // namespace pixpool
