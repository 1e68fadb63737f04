// The passes with AVX-512 VNNI, which multiplies 16-bit pairs and adds them up in one instruction,
// for two rows or 32 columns at once.
#include "server/image/resize_passes.h"
#include "server/image/resize_taps.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

#include <cstring>
#include <vector>

#define PIXPOOL_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace pixpool {
namespace {

PIXPOOL_AVX512 __m512i Joined(__m512i high, __m512i low) {
  return _mm512_add_epi32(_mm512_slli_epi32(high, kLowBits), low);
}

// Two rows in the halves of a register; `second` may be the same row.
PIXPOOL_AVX512 __m512i LoadTwo(const uint8_t* first, const uint8_t* second) {
  __m128i a, b;
  std::memcpy(&a, first, sizeof(a));
  std::memcpy(&b, second, sizeof(b));
  return _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(a), 0xff00, b);
}

PIXPOOL_AVX512 __m256i Rounded(__m256i sum) {
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kWeightHalf)), kWeightBits);
}

// r g of two rows, b 0 of two rows, from r r g g b b 0 0 of each.
PIXPOOL_AVX512 __m256i AddPairs(__m512i two_rows) {
  return Rounded(
      _mm256_hadd_epi32(_mm512_castsi512_si256(two_rows), _mm512_extracti64x4_epi64(two_rows, 1)));
}

// kRows rows at once, 1 or 4.
template <int kRows>
PIXPOOL_AVX512 void HorizontalRows(const Columns& columns, const uint8_t* const* rows,
                                   uint8_t* const* outs) {
  constexpr int kTwos = (kRows + 1) / 2;
  // Of four RGB pixels in 12 bytes, as 16-bit numbers: red of the pixels 0 1 2 3, green, blue.
  const __m256i spread_row =
      _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, 2, -1, 5, -1, 8, -1,
                       11, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m512i spread = _mm512_inserti64x4(_mm512_castsi256_si512(spread_row), spread_row, 1);
  const Taps* four = columns.taps.data();
  size_t at = 0;  // in the rows of the output
  for (const Window& window : columns.axis.windows) {
    __m512i high[kTwos], low[kTwos];
    for (int t = 0; t < kTwos; ++t) high[t] = low[t] = _mm512_setzero_si512();
    size_t offset = static_cast<size_t>(window.first) * 3;
    for (int k = 0; k < window.count; k += 4, offset += 12, ++four) {
      int64_t parts[2];
      std::memcpy(parts, four, sizeof(parts));
      const __m512i high_weights = _mm512_set1_epi64(parts[0]);
      const __m512i low_weights = _mm512_set1_epi64(parts[1]);
      for (int t = 0; t < kTwos; ++t) {
        const uint8_t* const second = rows[kRows == 1 ? 0 : 2 * t + 1];
        const __m512i pixels =
            _mm512_shuffle_epi8(LoadTwo(rows[2 * t] + offset, second + offset), spread);
        high[t] = _mm512_dpwssd_epi32(high[t], pixels, high_weights);
        low[t] = _mm512_dpwssd_epi32(low[t], pixels, low_weights);
      }
    }
    const __m256i upper = AddPairs(Joined(high[0], low[0]));
    const __m256i lower = kTwos == 1 ? upper : AddPairs(Joined(high[kTwos - 1], low[kTwos - 1]));
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

PIXPOOL_AVX512 __m512i Rounded(__m512i sum) {
  return _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_set1_epi32(kWeightHalf)), kWeightBits);
}

PIXPOOL_AVX512 void Block(const std::vector<Pair>& pairs, size_t offset, uint8_t* out) {
  // As unpacking and packing within lanes have it.
  __m512i high_a = _mm512_setzero_si512(), low_a = high_a, high_b = high_a, low_b = high_a;
  for (const Pair& pair : pairs) {
    __m256i bytes[2];
    std::memcpy(&bytes[0], pair.rows[0] + offset, sizeof(bytes[0]));
    std::memcpy(&bytes[1], pair.rows[1] + offset, sizeof(bytes[1]));
    const __m512i first = _mm512_cvtepu8_epi16(bytes[0]);
    const __m512i second = _mm512_cvtepu8_epi16(bytes[1]);
    const __m512i a = _mm512_unpacklo_epi16(first, second);
    const __m512i b = _mm512_unpackhi_epi16(first, second);
    const __m512i high = _mm512_set1_epi32(pair.high);
    const __m512i low = _mm512_set1_epi32(pair.low);
    high_a = _mm512_dpwssd_epi32(high_a, a, high);
    low_a = _mm512_dpwssd_epi32(low_a, a, low);
    high_b = _mm512_dpwssd_epi32(high_b, b, high);
    low_b = _mm512_dpwssd_epi32(low_b, b, low);
  }
  const __m512i words =
      _mm512_packs_epi32(Rounded(Joined(high_a, low_a)), Rounded(Joined(high_b, low_b)));
  const __m256i packed = _mm512_cvtusepi16_epi8(_mm512_max_epi16(words, _mm512_setzero_si512()));
  std::memcpy(out, &packed, sizeof(packed));
}

void Vertical(const uint8_t* const* rows, const int32_t* weights, int count, size_t size,
              uint8_t* out) {
  VerticalByBlocks(rows, weights, count, size, out, Block);
}

}  // namespace

const ResizePasses* Avx512ResizePasses() {
  static constexpr ResizePasses kPasses = {"avx512", Horizontal, Vertical};
  static const bool has_all = __builtin_cpu_supports("avx512bw") &&
                              __builtin_cpu_supports("avx512vl") &&
                              __builtin_cpu_supports("avx512vnni");
  return has_all ? &kPasses : nullptr;
}

}  // namespace pixpool

#else

namespace pixpool {

const ResizePasses* Avx512ResizePasses() { return nullptr; }

}  // namespace pixpool

#endif
