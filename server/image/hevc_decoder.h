// libde265, which decodes HEVC, behind an interface of our own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/image/hevc_units.h"
#include "server/image/image.h"

namespace pixpool {

// How colours are coded, by the code points of ITU-T H.273; 2: not said.
struct HevcColors {
  uint64_t primaries = 2;
  uint64_t transfer = 2;
  uint64_t matrix = 2;
  bool full_range = true;
  bool operator==(const HevcColors&) const = default;
  bool is_said() const { return *this != HevcColors(); }
};

// A decoded picture, in memory that someone else holds. Samples are bytes, or uint16_t where they
// have more than 8 bits; rows of planes 1 and 2 are as wide and as many as `chroma` says, rounded
// up.
struct HevcPlanes {
  struct Plane {
    const uint8_t* data = nullptr;
    size_t stride = 0;  // bytes
  };
  Size size;
  int chroma = 0;  // chroma_format_idc
  int bits = 0;    // of a sample, 8 to 16
  Plane planes[3];
  HevcColors colors;

  int shift_x() const { return chroma == 1 || chroma == 2 ? 1 : 0; }
  int shift_y() const { return chroma == 1 ? 1 : 0; }
  size_t sample_size() const { return bits > 8 ? 2 : 1; }
  // Of a plane.
  Size PlaneSize(int plane) const {
    return plane == 0 ? size
                      : Size{(size.width + shift_x()) >> shift_x(),
                             (size.height + shift_y()) >> shift_y()};
  }
};

// Decodes the picture of one item. Used by one thread, and starts none; for one Decode.
class HevcDecoder {
 public:
  HevcDecoder();
  HevcDecoder(const HevcDecoder&) = delete;
  HevcDecoder& operator=(const HevcDecoder&) = delete;
  ~HevcDecoder();

  // The planes are the decoder's. `warning` becomes what libde265 finds wrong with data of which it
  // has a picture all the same; empty: nothing. Errors: IMAGE_UNDECODABLE, also where the data
  // leaves out a part of the picture. May throw std::bad_alloc.
  absl::StatusOr<HevcPlanes> Decode(const HevcConfiguration& configuration, std::string_view data,
                                    const HevcDemand& demand, std::string* warning);

 private:
  class State;
  std::unique_ptr<State> state_;
};

// What a decoder holds of an item at most, the planes and the data's copy among it.
int64_t HevcDecoderBytes(const HevcConfiguration& configuration, const HevcDemand& demand,
                         int64_t data_bytes);

}  // namespace pixpool
