// libjpeg reports errors with longjmp, so the functions that call setjmp keep nothing that has a
// destructor.
#include "server/image/jpeg_decoder.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it
#include <memory>
#include <new>

#include <jerror.h>
#include <jpeglib.h>
#include <pthread.h>

namespace pixpool {
namespace {

// More padding than this before the end marker means that the data ran out of step.
constexpr unsigned kMaxPadding = 64;
// Rows that are asked for in one call.
constexpr int kRowsAtOnce = 16;
// How far smooth upsampling looks beyond a pixel, in columns.
constexpr int kReach = 2;

bool IsPaddingWarning(const char* message) {
  unsigned count = 0;
  unsigned marker = 0;
  return std::sscanf(message, "Corrupt JPEG data: %u extraneous bytes before marker 0x%x", &count,
                     &marker) == 2 &&
         marker == 0xd9 && count <= kMaxPadding;
}

// A decompressor that is used again and again, by one thread.
class Decoder {
 public:
  Decoder() { lib_.client_data = this; }
  ~Decoder() {
    if (created_) jpeg_destroy_decompress(&lib_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  std::string Decode(const JpegJob& job, uint8_t* pixels, uint8_t* spare) {
    if (Run(job, pixels, spare)) return "";
    if (errors_.msg_code == JERR_OUT_OF_MEMORY) {
      jpeg_destroy_decompress(&lib_);  // it may be half made
      created_ = false;
      throw std::bad_alloc();
    }
    jpeg_abort_decompress(&lib_);
    return message_;
  }

 private:
  bool Run(const JpegJob& job, uint8_t* pixels, uint8_t* spare) {
    if (setjmp(failed_) != 0) return false;
    if (!created_) Create();
    jpeg_mem_src(&lib_, reinterpret_cast<const unsigned char*>(job.bytes.data()),
                 static_cast<unsigned long>(job.bytes.size()));
    jpeg_read_header(&lib_, TRUE);
    lib_.scale_num = 1;
    lib_.scale_denom = static_cast<unsigned>(job.divisor);
    lib_.out_color_space = job.cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&lib_);
    if (!CutColumns(job)) return Fail("its size is not the header's");
    if (job.part.top > 0) jpeg_skip_scanlines(&lib_, static_cast<JDIMENSION>(job.part.top));
    ReadRows(job.part.bottom(), pixels, RowBytes(job));
    CheckRest(job, spare);
    jpeg_finish_decompress(&lib_);
    return true;
  }

  void Create() {
    lib_.err = jpeg_std_error(&errors_);
    errors_.error_exit = [](j_common_ptr lib) {
      auto* const self = static_cast<Decoder*>(lib->client_data);
      lib->err->format_message(lib, self->message_);
      std::longjmp(self->failed_, 1);
    };
    errors_.emit_message = [](j_common_ptr lib, int level) {
      if (level >= 0) return;  // traces
      auto* const self = static_cast<Decoder*>(lib->client_data);
      lib->err->format_message(lib, self->message_);
      if (!IsPaddingWarning(self->message_)) std::longjmp(self->failed_, 1);
    };
    errors_.output_message = [](j_common_ptr) {};
    jpeg_create_decompress(&lib_);
    created_ = true;
  }

  static size_t RowBytes(const JpegJob& job) {
    return static_cast<size_t>(job.part.width) * (job.cmyk ? 4 : 3);
  }

  // Whether the picture has the size that was said, and the part's columns are to be had.
  bool CutColumns(const JpegJob& job) {
    if (lib_.output_width != static_cast<JDIMENSION>(job.size.width) ||
        lib_.output_height != static_cast<JDIMENSION>(job.size.height)) {
      return false;
    }
    if (job.part.width == job.size.width) return true;
    auto left = static_cast<JDIMENSION>(job.part.left);
    auto width = static_cast<JDIMENSION>(job.part.width);
    jpeg_crop_scanline(&lib_, &left, &width);
    return left == static_cast<JDIMENSION>(job.part.left) &&
           width == static_cast<JDIMENSION>(job.part.width);
  }

  // Reads rows up to `end` to where `pixels` begins, or all to the same place for a step of 0.
  void ReadRows(int end, uint8_t* pixels, size_t step) {
    while (lib_.output_scanline < static_cast<JDIMENSION>(end)) {
      JSAMPROW rows[kRowsAtOnce];
      for (int i = 0; i < kRowsAtOnce; ++i) rows[i] = pixels + static_cast<size_t>(i) * step;
      const JDIMENSION left = static_cast<JDIMENSION>(end) - lib_.output_scanline;
      const JDIMENSION read =
          jpeg_read_scanlines(&lib_, rows, std::min(left, static_cast<JDIMENSION>(kRowsAtOnce)));
      pixels += read * step;
    }
  }

  // Goes through the rows below the part. Skipping up to the end would leave them unread, so the
  // last ones are decoded.
  void CheckRest(const JpegJob& job, uint8_t* spare) {
    const int rest = job.size.height - job.part.bottom();
    if (rest > 2 * job.row_of_blocks) {
      jpeg_skip_scanlines(&lib_, static_cast<JDIMENSION>(rest - job.row_of_blocks));
    }
    ReadRows(job.size.height, spare, 0);
  }

  bool Fail(const char* message) {
    std::snprintf(message_, sizeof(message_), "%s", message);
    return false;
  }

  jpeg_decompress_struct lib_{};
  jpeg_error_mgr errors_{};
  bool created_ = false;
  std::jmp_buf failed_;
  char message_[JMSG_LENGTH_MAX] = {};
};

// The decoder of the calling thread. Not thread_local: where there is no memory to register its
// destructor, the C library ends the process.
Decoder& ThreadDecoder() {
  static const pthread_key_t key = [] {
    pthread_key_t made;
    const auto destroy = [](void* decoder) { delete static_cast<Decoder*>(decoder); };
    if (pthread_key_create(&made, destroy) != 0) throw std::bad_alloc();
    return made;
  }();
  if (void* const decoder = pthread_getspecific(key)) return *static_cast<Decoder*>(decoder);
  auto made = std::make_unique<Decoder>();
  if (pthread_setspecific(key, made.get()) != 0) throw std::bad_alloc();
  return *made.release();
}

int64_t Area(int width, int height) { return int64_t{width} * height; }

}  // namespace

int JpegRowOfBlocks(const JpegLayout& layout, int divisor) {
  return DCTSIZE / divisor * layout.max_v_sampling;
}

Region JpegWindow(const JpegLayout& layout, int divisor, Size size, const Region& needed) {
  const Region whole = {0, 0, size.width, size.height};
  const int rows = JpegRowOfBlocks(layout, divisor);
  const int columns = DCTSIZE / divisor * (layout.components == 1 ? 1 : layout.max_h_sampling);
  if (rows < 1 || columns < 1) return whole;  // libjpeg has words for that
  const int left = std::max(0, needed.left - kReach) / columns * columns;
  const int right = std::min(size.width, needed.right() + std::max(columns, kReach));
  // Beginning in the first rows would save next to nothing.
  const int top = needed.top < 2 * rows ? 0 : needed.top / rows * rows;
  const Region window = {left, top, right - left, needed.bottom() - top};
  const bool worthwhile =
      10 * Area(window.width, window.height) < 9 * Area(size.width, size.height);
  return worthwhile ? window : whole;
}

std::string DecodeJpegPart(const JpegJob& job, uint8_t* pixels, uint8_t* spare) {
  return ThreadDecoder().Decode(job, pixels, spare);
}

}  // namespace pixpool
