// The passes with AVX2's multiplication of 16-bit pairs, which does two taps at once where a 32-bit
// one does one, and on many processors in a quarter of the time.
#include "server/image/resize_passes.h"
#include "server/image/resize_taps.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

#include <cstring>
#include <vector>

#define PIXPOOL_AVX2 __attribute__((target("avx2")))

namespace pixpool {
namespace {

PIXPOOL_AVX2 __m256i Joined(__m256i high, __m256i low) {
  return _mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low);
}

PIXPOOL_AVX2 __m256i Rounded(__m256i sum) {
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kWeightHalf)), kWeightBits);
}

// kRows rows at once, 1 or 4.
template <int kRows>
PIXPOOL_AVX2 void HorizontalRows(const Columns& columns, const uint8_t* const* rows,
                                 uint8_t* const* outs) {
  // Of four RGB pixels in 12 bytes, as 16-bit numbers: red of the pixels 0 1 2 3, green, blue.
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, 2, -1, 5, -1, 8, -1,
                       11, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const Taps* four = columns.taps.data();
  size_t at = 0;  // in the rows of the output
  for (const Window& window : columns.axis.windows) {
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
    __m256i pairs[4] = {};  // r r g g, b b 0 0
    for (int r = 0; r < kRows; ++r) pairs[r] = Joined(high[r], low[r]);
    // r g of two rows, b 0 of two rows; then of all four as 16-bit numbers, then as bytes.
    const __m256i upper = Rounded(_mm256_hadd_epi32(pairs[0], pairs[1]));
    const __m256i lower = kRows == 1 ? upper : Rounded(_mm256_hadd_epi32(pairs[2], pairs[3]));
    const __m256i words = _mm256_packs_epi32(upper, lower);
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const __m128i pixels =
        _mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    int32_t rgb0[4];
    std::memcpy(rgb0, &pixels, sizeof(rgb0));
    for (int r = 0; r < kRows; ++r) std::memcpy(outs[r] + at, &rgb0[r], 3);
    at += 3;
  }
}

void Horizontal(const Columns& columns, const uint8_t* const* rows, uint8_t* const* outs,
                int count) {
  HorizontalByFours(columns, rows, outs, count, HorizontalRows<4>, HorizontalRows<1>);
}

// Sixteen bytes of an output row, from those at `offset` of the pairs' rows.
PIXPOOL_AVX2 void HalfBlock(const std::vector<Pair>& pairs, size_t offset, uint8_t* out) {
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
  const __m256i words =
      _mm256_packs_epi32(Rounded(Joined(high_a, low_a)), Rounded(Joined(high_b, low_b)));
  const __m128i packed =
      _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  std::memcpy(out, &packed, sizeof(packed));
}

PIXPOOL_AVX2 void Block(const std::vector<Pair>& pairs, size_t offset, uint8_t* out) {
  HalfBlock(pairs, offset, out);
  HalfBlock(pairs, offset + kBlock / 2, out + kBlock / 2);
}

void Vertical(const uint8_t* const* rows, const int32_t* weights, int count, size_t size,
              uint8_t* out) {
  VerticalByBlocks(rows, weights, count, size, out, Block);
}

}  // namespace

const ResizePasses* Avx2ResizePasses() {
  static constexpr ResizePasses kPasses = {"avx2", Horizontal, Vertical};
  static const bool has_avx2 = __builtin_cpu_supports("avx2");
  return has_avx2 ? &kPasses : nullptr;
}

}  // namespace pixpool

#else

namespace pixpool {

const ResizePasses* Avx2ResizePasses() { return nullptr; }

}  // namespace pixpool

#endif
