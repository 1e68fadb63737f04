// The passes with AVX2's multiplication of 16-bit pairs, which does two taps at once where a 32-bit
// one does one, and on many processors in a quarter of the time.
//
// A weight does not fit 16 bits, so it is split: weight = high * 2^11 + low, 0 <= low < 2^11. Sums
// of both parts are kept apart and joined at the end. All of it is arithmetic modulo 2^32, so the
// result is that of the 32-bit sum whatever the parts do.
#include "server/image/resize_passes.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

#include <cstring>
#include <vector>

#define PIXPOOL_AVX2 __attribute__((target("avx2")))

namespace pixpool {
namespace {

constexpr int kLowBits = 11;

int16_t High(int32_t weight) { return static_cast<int16_t>(weight >> kLowBits); }
int16_t Low(int32_t weight) { return static_cast<int16_t>(weight & ((1 << kLowBits) - 1)); }

// ---- along the rows

// A row's weights for four taps: the high parts, then the low ones. Taps that a window lacks weigh
// nothing.
struct Taps {
  int16_t high[4], low[4];
};
static_assert(sizeof(Taps) == 16);

std::vector<Taps> SplitByFours(const Axis& axis) {
  std::vector<Taps> taps;
  for (const Window& window : axis.windows) {
    for (int k = 0; k < window.count; k += 4) {
      Taps& four = taps.emplace_back();
      for (int j = 0; j < 4; ++j) {
        const int32_t weight =
            k + j < window.count ? axis.weights[window.weights + static_cast<size_t>(k + j)] : 0;
        four.high[j] = High(weight);
        four.low[j] = Low(weight);
      }
    }
  }
  return taps;
}

// Bytes that a load of four pixels may read behind the row's end.
constexpr size_t kPadding = 16;

// kRows rows at once, so that a weight is loaded once for all of them.
template <int kRows>
PIXPOOL_AVX2 void HorizontalRows(const Axis& axis, const std::vector<Taps>& taps,
                                 const uint8_t* const* rows, uint8_t* const* outs) {
  // Of four RGB pixels in 12 bytes, as 16-bit numbers: red of the pixels 0 1 2 3, green, blue.
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, 2, -1, 5, -1, 8, -1,
                       11, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const Taps* four = taps.data();
  size_t at = 0;  // in the rows of the output
  for (const Window& window : axis.windows) {
    __m256i high[kRows], low[kRows];
    for (int r = 0; r < kRows; ++r) high[r] = low[r] = _mm256_setzero_si256();
    size_t offset = static_cast<size_t>(window.first) * 3;
    for (int k = 0; k < window.count; k += 4, offset += 12, ++four) {
      int64_t parts[2];
      std::memcpy(parts, four, sizeof(parts));
      const __m256i high_weights = _mm256_set1_epi64x(parts[0]);
      const __m256i low_weights = _mm256_set1_epi64x(parts[1]);
      for (int r = 0; r < kRows; ++r) {
        __m128i bytes;
        std::memcpy(&bytes, rows[r] + offset, sizeof(bytes));
        const __m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
        high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(pixels, high_weights));
        low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(pixels, low_weights));
      }
    }
    for (int r = 0; r < kRows; ++r) {
      const __m256i pairs = _mm256_add_epi32(_mm256_slli_epi32(high[r], kLowBits), low[r]);
      const __m256i sums = _mm256_hadd_epi32(pairs, pairs);  // r g r g, b 0 b 0
      const __m128i rgb =
          _mm_unpacklo_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
      const __m128i rounded =
          _mm_srai_epi32(_mm_add_epi32(rgb, _mm_set1_epi32(kWeightHalf)), kWeightBits);
      const __m128i words = _mm_packs_epi32(rounded, rounded);
      const int32_t pixel = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
      std::memcpy(outs[r] + at, &pixel, 3);
    }
    at += 3;
  }
}

void Horizontal(const Image& source, const Axis& axis, int top, Image* out) {
  constexpr int kBlock = 4;
  const std::vector<Taps> taps = SplitByFours(axis);
  const size_t row_bytes = source.stride() + kPadding;
  std::vector<uint8_t> padded;
  for (int y = 0; y < out->height(); y += kBlock) {
    const int count = out->height() - y < kBlock ? out->height() - y : kBlock;
    // Behind the last rows of the picture there is nothing that may be read.
    const size_t end = source.stride() * static_cast<size_t>(top + y + count);
    const bool last = end + kPadding > source.byte_size();
    if (last) padded.assign(row_bytes * static_cast<size_t>(count), 0);
    const uint8_t* rows[kBlock];
    uint8_t* outs[kBlock];
    for (int r = 0; r < count; ++r) {
      rows[r] = source.row(top + y + r);
      outs[r] = out->row(y + r);
      if (!last) continue;
      uint8_t* const copy = padded.data() + row_bytes * static_cast<size_t>(r);
      std::memcpy(copy, rows[r], source.stride());
      rows[r] = copy;
    }
    if (count == kBlock) {
      HorizontalRows<kBlock>(axis, taps, rows, outs);
    } else {
      for (int r = 0; r < count; ++r) HorizontalRows<1>(axis, taps, rows + r, outs + r);
    }
  }
}

// ---- along the columns

// Two taps, as the pair that one multiplication takes.
struct Pair {
  const uint8_t* rows[2];
  int32_t high, low;
};

int32_t Join(int16_t first, int16_t second) {
  return static_cast<int32_t>(static_cast<uint16_t>(first)) |
         static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(second)) << 16);
}

PIXPOOL_AVX2 __m256i Finish(__m256i high, __m256i low) {
  const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low);
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kWeightHalf)), kWeightBits);
}

// Sixteen bytes of an output row, from those at `offset` of the pairs' rows.
PIXPOOL_AVX2 void VerticalBlock(const std::vector<Pair>& pairs, size_t offset, uint8_t* out) {
  // Of bytes 0-3 and 8-11, and of 4-7 and 12-15: as unpacking and packing within lanes have it.
  __m256i high_a = _mm256_setzero_si256(), low_a = high_a, high_b = high_a, low_b = high_a;
  for (const Pair& pair : pairs) {
    __m128i bytes[2];
    std::memcpy(&bytes[0], pair.rows[0] + offset, sizeof(bytes[0]));
    std::memcpy(&bytes[1], pair.rows[1] + offset, sizeof(bytes[1]));
    const __m256i first = _mm256_cvtepu8_epi16(bytes[0]);
    const __m256i second = _mm256_cvtepu8_epi16(bytes[1]);
    const __m256i a = _mm256_unpacklo_epi16(first, second);
    const __m256i b = _mm256_unpackhi_epi16(first, second);
    const __m256i high = _mm256_set1_epi32(pair.high);
    const __m256i low = _mm256_set1_epi32(pair.low);
    high_a = _mm256_add_epi32(high_a, _mm256_madd_epi16(a, high));
    low_a = _mm256_add_epi32(low_a, _mm256_madd_epi16(a, low));
    high_b = _mm256_add_epi32(high_b, _mm256_madd_epi16(b, high));
    low_b = _mm256_add_epi32(low_b, _mm256_madd_epi16(b, low));
  }
  const __m256i words = _mm256_packs_epi32(Finish(high_a, low_a), Finish(high_b, low_b));
  const __m128i packed =
      _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  std::memcpy(out, &packed, sizeof(packed));
}

void Vertical(const Image& source, const Axis& axis, int source_top, int left, Image* out) {
  constexpr size_t kBlock = 16;
  const size_t count = out->stride();
  if (count < kBlock) return PortableResizePasses().vertical(source, axis, source_top, left, out);
  std::vector<Pair> pairs;
  for (int y = 0; y < out->height(); ++y) {
    const Window& window = axis.windows[static_cast<size_t>(y)];
    const int32_t* const weights = axis.weights.data() + window.weights;
    const auto row = [&](int k) {
      return source.row(window.first + k - source_top) + static_cast<size_t>(left) * 3;
    };
    pairs.clear();
    for (int k = 0; k < window.count; k += 2) {
      const bool whole = k + 1 < window.count;
      const int32_t second = whole ? weights[k + 1] : 0;
      pairs.push_back({{row(k), row(whole ? k + 1 : k)},
                       Join(High(weights[k]), High(second)),
                       Join(Low(weights[k]), Low(second))});
    }
    size_t x = 0;
    for (; x + kBlock <= count; x += kBlock) VerticalBlock(pairs, x, out->row(y) + x);
    // The last block overlaps the one before it.
    if (x < count) VerticalBlock(pairs, count - kBlock, out->row(y) + (count - kBlock));
  }
}

}  // namespace

const ResizePasses* Avx2ResizePasses() {
  static constexpr ResizePasses kPasses = {Horizontal, Vertical};
  static const bool has_avx2 = __builtin_cpu_supports("avx2");
  return has_avx2 ? &kPasses : nullptr;
}

}  // namespace pixpool

#else

namespace pixpool {

const ResizePasses* Avx2ResizePasses() { return nullptr; }

}  // namespace pixpool

#endif
