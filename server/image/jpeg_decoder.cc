// libjpeg reports errors with longjmp, so what it may jump out of keeps nothing with a destructor
// and allocates nothing.
#include "server/image/jpeg_decoder.h"

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h needs it
#include <new>

#include <jerror.h>
#include <jpeglib.h>

namespace pixpool {
namespace {

// What Pillow reads of a file at a time.
constexpr size_t kBlock = 65536;
// Cameras pad the file before its end marker; up to this many bytes are no damage.
constexpr int kMaxPadding = 64;
// Each scan costs a pass over all coefficients, however few bytes it has. libjpeg's own scripts
// have 10 scans; optimisers go to about 20. Of large pictures fewer are taken, so that none costs
// more than one of 50 megapixels may.
constexpr int kMaxScans = 100;
constexpr int64_t kMaxScannedPixels = 5'000'000'000;
// Rows that are asked for in one call.
constexpr int kRowsAtOnce = 16;
// How far smooth upsampling looks beyond a pixel, in columns.
constexpr int kReach = 2;
constexpr uint8_t kEndMarker[] = {0xff, JPEG_EOI};

int64_t Area(int width, int height) { return int64_t{width} * height; }

}  // namespace

// Not copyable: libjpeg holds its address.
class JpegDecoder::Impl {
 public:
  explicit Impl(std::string_view bytes) : bytes_(bytes) { lib_.client_data = this; }
  ~Impl() { jpeg_destroy_decompress(&lib_); }  // also where it was never made: it is all zeros
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  bool ReadHeader() {
    return Try([](Impl* self) { self->ReadHeaderStep(); });
  }

  bool Start(int divisor) {
    lib_.scale_num = 1;
    lib_.scale_denom = static_cast<unsigned>(divisor);
    lib_.out_color_space = lib_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    return Try([](Impl* self) {
      jpeg_start_decompress(&self->lib_);
      self->CheckScans();
    });
  }

  bool Begin(const Region& window) {
    window_ = window;
    return Try([](Impl* self) {
      self->CutColumns();
      if (self->window_.top == 0) return;
      jpeg_skip_scanlines(&self->lib_, static_cast<JDIMENSION>(self->window_.top));
    });
  }

  bool Read(int rows, uint8_t* pixels) {
    rows_ = rows;
    pixels_ = pixels;
    return Try([](Impl* self) {
      const size_t pixel = self->lib_.out_color_space == JCS_CMYK ? 4 : 3;
      self->ReadRows(static_cast<int>(self->lib_.output_scanline) + self->rows_,
                     static_cast<size_t>(self->window_.width) * pixel);
    });
  }

  bool End(uint8_t* spare) {
    pixels_ = spare;
    return Try([](Impl* self) { self->EndStep(); }) && Finish();
  }

  const jpeg_decompress_struct& lib() const { return lib_; }

  Size size() const {
    return {static_cast<int>(lib_.image_width), static_cast<int>(lib_.image_height)};
  }
  Size scaled_size() const {
    return {static_cast<int>(lib_.output_width), static_cast<int>(lib_.output_height)};
  }

  // What libjpeg decodes at a time, and the columns that it can begin at.
  int row_of_blocks() const { return block_side() * lib_.max_v_samp_factor; }
  int columns() const {
    return block_side() * (lib_.num_components == 1 ? 1 : lib_.max_h_samp_factor);
  }

  // Where a progressive file lacks scans, libjpeg smooths blocks by their neighbours.
  bool smooths() const { return lib_.progressive_mode && !all_bits_; }

  DamageList damages() const {
    DamageList list;
    for (int k = 0; k < kDamageKindCount; ++k) {
      if (noted_[k]) list.Add(static_cast<DamageKind>(k), details_[k]);
    }
    return list;
  }
  bool truncated() const { return truncated_; }
  std::string_view failure() const { return message_; }

 private:
  bool Try(void (*step)(Impl*)) {
    if (setjmp(failed_) == 0) {
      step(this);
      return true;
    }
    if (errors_.msg_code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
    // What libjpeg then says is about bytes that are not the file's.
    truncated_ = truncated_ || ran_out_;
    return false;
  }

  int block_side() const { return DCTSIZE / static_cast<int>(lib_.scale_denom); }

  [[noreturn]] void Fail(const char* message, bool truncated = false) {
    std::snprintf(message_, sizeof(message_), "%s", message);
    truncated_ = truncated;
    std::longjmp(failed_, 1);
  }

  void ReadHeaderStep() {
    lib_.err = jpeg_std_error(&errors_);
    errors_.error_exit = OnError;
    errors_.emit_message = OnMessage;
    errors_.output_message = [](j_common_ptr) {};
    jpeg_create_decompress(&lib_);
    source_.init_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = FillBuffer;
    source_.skip_input_data = SkipBytes;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = [](j_decompress_ptr) {};
    lib_.src = &source_;
    progress_.progress_monitor = OnProgress;
    lib_.progress = &progress_;
    // A stream may have tables only, which are for those behind it.
    while (jpeg_read_header(&lib_, FALSE) == JPEG_HEADER_TABLES_ONLY) {
    }
  }

  // Where the scans have all been decoded: whether any data is missing.
  void CheckScans() {
    bool any_missing = false;
    all_bits_ = true;
    for (int c = 0; c < lib_.num_components; ++c) {
      if (lib_.coef_bits != nullptr) {
        const int* const bits = lib_.coef_bits[c];
        any_missing = any_missing || bits[0] < 0;
        all_bits_ = all_bits_ && std::all_of(bits, bits + DCTSIZE2, [](int b) { return b == 0; });
      } else {
        any_missing = any_missing || lib_.comp_info[c].quant_table == nullptr;
      }
    }
    if (any_missing) Note(DamageKind::kMissingData, "a colour component has no data");
    // libjpeg fills what a progressive file lacks with zeros and says nothing, so this is how one
    // cut between two scans is told from a whole one.
    if (ran_out_ && (any_missing || !all_bits_)) Fail("it ends before its last scan", true);
  }

  void EndStep() {
    // Skipping up to the end would leave the rows below the window unread, so the last are decoded.
    const int rest = scaled_size().height - window_.bottom();
    if (rest > 2 * row_of_blocks()) {
      jpeg_skip_scanlines(&lib_, static_cast<JDIMENSION>(rest - row_of_blocks()));
    }
    ReadRows(scaled_size().height, 0);
    all_rows_ = true;
    if (!ran_out_) return;
    // A file may lack its end marker, and no more than that.
    if (Noted(DamageKind::kData) || Noted(DamageKind::kMissingData)) {
      Fail("it ends before its last row", true);
    }
    Note(DamageKind::kNoEnd, "");
  }

  // The pixels are there. Bytes behind them may still be what Pillow refuses.
  bool Finish() {
    if (ran_out_) return true;
    // From here on in Pillow's blocks: libjpeg is faster in long ones.
    given_ -= source_.bytes_in_buffer;
    GiveUpTo(std::min(bytes_.size(), (given_ + kBlock - 1) / kBlock * kBlock));
    const bool good = Try([](Impl* self) { jpeg_finish_decompress(&self->lib_); });
    if (!good && !past_block_) return false;
    message_[0] = '\0';
    return true;
  }

  void CutColumns() {
    if (window_.width == scaled_size().width) return;
    auto left = static_cast<JDIMENSION>(window_.left);
    auto width = static_cast<JDIMENSION>(window_.width);
    jpeg_crop_scanline(&lib_, &left, &width);
    if (left != static_cast<JDIMENSION>(window_.left) ||
        width != static_cast<JDIMENSION>(window_.width)) {
      Fail("libjpeg does not give the part that was asked for");
    }
  }

  // Reads rows up to `end` to where pixels_ begins, or all to the same place for a step of 0.
  void ReadRows(int end, size_t step) {
    uint8_t* pixels = pixels_;
    while (lib_.output_scanline < static_cast<JDIMENSION>(end)) {
      JSAMPROW rows[kRowsAtOnce];
      for (int i = 0; i < kRowsAtOnce; ++i) rows[i] = pixels + static_cast<size_t>(i) * step;
      const JDIMENSION left = static_cast<JDIMENSION>(end) - lib_.output_scanline;
      const JDIMENSION read =
          jpeg_read_scanlines(&lib_, rows, std::min(left, static_cast<JDIMENSION>(kRowsAtOnce)));
      pixels += read * step;
    }
  }

  static Impl* Of(j_common_ptr lib) { return static_cast<Impl*>(lib->client_data); }

  static void OnError(j_common_ptr lib) {
    lib->err->format_message(lib, Of(lib)->message_);
    std::longjmp(Of(lib)->failed_, 1);
  }

  static void OnMessage(j_common_ptr lib, int level) {
    if (level < 0) Of(lib)->NoteWarning();  // the others are traces
  }

  static void OnProgress(j_common_ptr lib) {
    Impl* const self = Of(lib);
    const int scans = self->lib_.input_scan_number;
    const Size size = self->size();
    if (scans > kMaxScans) self->Fail("it has more than 100 scans");
    if (scans > 1 && Area(size.width, size.height) * scans > kMaxScannedPixels) {
      self->Fail("it has more scans than a picture of its size may");
    }
  }

  static boolean FillBuffer(j_decompress_ptr lib) {
    Impl* const self = Of(reinterpret_cast<j_common_ptr>(lib));
    if (self->all_rows_) self->past_block_ = true;
    if (self->given_ < self->bytes_.size()) {
      self->GiveUpTo(self->bytes_.size());
      return TRUE;
    }
    if (self->all_rows_) {
      self->Note(DamageKind::kNoEnd, "");
      return FALSE;  // which ends the reading
    }
    self->ran_out_ = true;
    self->source_.next_input_byte = kEndMarker;
    self->source_.bytes_in_buffer = sizeof(kEndMarker);
    return TRUE;
  }

  // Gives what follows the bytes that were given, up to `end`.
  void GiveUpTo(size_t end) {
    source_.next_input_byte = reinterpret_cast<const uint8_t*>(bytes_.data()) + given_;
    source_.bytes_in_buffer = end - given_;
    given_ = end;
  }

  static void SkipBytes(j_decompress_ptr lib, long count) {
    Impl* const self = Of(reinterpret_cast<j_common_ptr>(lib));
    for (auto left = static_cast<size_t>(std::max(count, 0L)); left > 0;) {
      const size_t step = std::min(left, self->source_.bytes_in_buffer);
      self->source_.next_input_byte += step;
      self->source_.bytes_in_buffer -= step;
      left -= step;
      if (left == 0 || self->ran_out_ || FillBuffer(lib) == FALSE) return;
    }
  }

  void NoteWarning() {
    DamageKind kind = DamageKind::kData;
    switch (errors_.msg_code) {
      case JWRN_ADOBE_XFORM:
      case JWRN_JFIF_MAJOR:
      case JWRN_NOT_SEQUENTIAL:
        kind = DamageKind::kHeader;
        break;
      case JWRN_EXTRANEOUS_DATA:
        if (errors_.msg_parm.i[1] == JPEG_EOI && errors_.msg_parm.i[0] <= kMaxPadding) return;
        kind = DamageKind::kExtraBytes;
        break;
      case JWRN_HIT_MARKER:
        kind = DamageKind::kMissingData;
        break;
      default:
        break;
    }
    if (Noted(kind)) return;  // files have been seen with a warning for each block
    char text[JMSG_LENGTH_MAX];
    errors_.format_message(reinterpret_cast<j_common_ptr>(&lib_), text);
    Note(kind, text);
  }

  bool Noted(DamageKind kind) const { return noted_[static_cast<int>(kind)]; }

  void Note(DamageKind kind, const char* detail) {
    if (Noted(kind)) return;
    noted_[static_cast<int>(kind)] = true;
    std::snprintf(details_[static_cast<int>(kind)], JMSG_LENGTH_MAX, "%s", detail);
  }

  jpeg_decompress_struct lib_{};
  jpeg_error_mgr errors_{};
  jpeg_source_mgr source_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf failed_;
  char message_[JMSG_LENGTH_MAX] = {};

  // What the steps were given.
  Region window_;
  int rows_ = 0;
  uint8_t* pixels_ = nullptr;

  const std::string_view bytes_;
  size_t given_ = 0;         // bytes that libjpeg got
  bool ran_out_ = false;     // it wanted more than there are before all rows were out
  bool all_rows_ = false;    // are out
  bool past_block_ = false;  // libjpeg reads where Pillow has ended
  bool all_bits_ = true;     // of all coefficients are there
  bool truncated_ = false;
  bool noted_[kDamageKindCount] = {};
  char details_[kDamageKindCount][JMSG_LENGTH_MAX] = {};
};

JpegDecoder::JpegDecoder(std::string_view bytes) : impl_(std::make_unique<Impl>(bytes)) {}
JpegDecoder::~JpegDecoder() = default;

bool JpegDecoder::ReadHeader() { return impl_->ReadHeader(); }
bool JpegDecoder::Start(int divisor) { return impl_->Start(divisor); }
bool JpegDecoder::Begin(const Region& window) { return impl_->Begin(window); }
bool JpegDecoder::Read(int rows, uint8_t* pixels) { return impl_->Read(rows, pixels); }
bool JpegDecoder::End(uint8_t* spare) { return impl_->End(spare); }

Size JpegDecoder::size() const { return impl_->size(); }
int JpegDecoder::components() const { return impl_->lib().num_components; }
Size JpegDecoder::scaled_size() const { return impl_->scaled_size(); }
DamageList JpegDecoder::damages() const { return impl_->damages(); }
bool JpegDecoder::truncated() const { return impl_->truncated(); }
std::string_view JpegDecoder::failure() const { return impl_->failure(); }

Region JpegDecoder::Window(const Region& needed) const {
  const Size size = scaled_size();
  const Region whole = {0, 0, size.width, size.height};
  if (impl_->smooths()) return whole;
  const int rows = impl_->row_of_blocks();
  const int columns = impl_->columns();
  const int left = std::max(0, needed.left - kReach) / columns * columns;
  const int right = std::min(size.width, needed.right() + std::max(columns, kReach));
  // Beginning in the first rows would save next to nothing.
  const int top = needed.top < 2 * rows ? 0 : needed.top / rows * rows;
  const Region window = {left, top, right - left, needed.bottom() - top};
  const bool worthwhile =
      10 * Area(window.width, window.height) < 9 * Area(size.width, size.height);
  return worthwhile ? window : whole;
}

}  // namespace pixpool
