#include "client/cli/progress.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pixpool::cli {
namespace {

constexpr size_t kWidth = 30;
constexpr absl::Duration kInterval = absl::Milliseconds(100);

}  // namespace

Progress::Progress(std::ostream& out, bool enabled, size_t total, client::Timer* timer)
    : out_(out),
      enabled_(enabled && total > 0),
      total_(total),
      timer_(timer),
      start_(timer->Now()) {}

void Progress::Update(size_t done, size_t failed) {
  if (!enabled_) return;
  const absl::Time now = timer_->Now();
  if (visible_ && done < total_ && now - last_drawn_ < kInterval) return;
  last_drawn_ = now;
  visible_ = true;
  const size_t filled = kWidth * done / total_;
  const double seconds = absl::ToDoubleSeconds(now - start_);
  out_ << "\r\x1b[K[" << std::string(filled, '#') << std::string(kWidth - filled, '-') << "]  "
       << done << "/" << total_;
  if (seconds > 0) out_ << absl::StrFormat("  %.1f images/s", static_cast<double>(done) / seconds);
  if (failed > 0) out_ << "  " << failed << " failed";
  out_ << std::flush;
}

void Progress::Clear() {
  if (!visible_) return;
  out_ << "\r\x1b[K" << std::flush;
  visible_ = false;
}

}  // namespace pixpool::cli
