#include "client/bench/chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace pixpool::bench {
namespace {

constexpr double kWidth = 840;
constexpr double kHeight = 280;
constexpr double kLeft = 62;
constexpr double kRight = 16;
constexpr double kTop = 26;
constexpr double kBottom = 44;
constexpr int kMaxTicks = 6;

// 0 at the low end, 1 at the high one.
double Fraction(const Chart::Axis& axis, double value) {
  value = std::clamp(value, axis.low, axis.high);
  if (axis.logarithmic) return std::log(value / axis.low) / std::log(axis.high / axis.low);
  return (value - axis.low) / (axis.high - axis.low);
}

}  // namespace

std::vector<double> Ticks(double low, double high, bool logarithmic) {
  std::vector<double> ticks;
  if (logarithmic) {
    // 1, 2, 5 in each decade; powers of ten alone where that is too many.
    const bool few = high / low < 2000;
    for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10) {
      for (const double step : {1.0, 2.0, 5.0}) {
        const double tick = decade * step;
        if ((few || step == 1) && tick >= low * 0.9999 && tick <= high * 1.0001) {
          ticks.push_back(tick);
        }
      }
    }
    // Within less than a decade round numbers may be better than round factors.
    if (ticks.size() > 2) return ticks;
    ticks.clear();
  }
  const double raw = (high - low) / kMaxTicks;
  const double decade = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * decade;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * decade >= raw) step = factor * decade;
  }
  for (double tick = std::ceil(low / step) * step; tick <= high * 1.0001; tick += step) {
    ticks.push_back(tick);
  }
  return ticks;
}

std::string NumberText(double value) {
  if (std::abs(value) >= 1000) return absl::StrFormat("%.0f", value);
  return absl::StrFormat("%.3g", value);
}

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

Chart::Chart(Axis x, Axis y) : x_(std::move(x)), y_(std::move(y)) {
  // An axis of one value still needs a length.
  for (Axis* axis : {&x_, &y_}) {
    if (axis->high <= axis->low) axis->high = axis->low > 0 ? axis->low * 1.1 : axis->low + 1;
  }
}

double Chart::X(double value) const {
  return kLeft + Fraction(x_, value) * (kWidth - kLeft - kRight);
}
double Chart::Y(double value) const {
  return kHeight - kBottom - Fraction(y_, value) * (kHeight - kTop - kBottom);
}

void Chart::AddLine(const Points& points, const std::string& style, bool marks,
                    const std::vector<std::string>& titles) {
  if (points.empty()) return;
  std::string path;
  for (const auto& [x, y] : points) {
    absl::StrAppendFormat(&path, "%s%.1f %.1f", path.empty() ? "M" : "L", X(x), Y(y));
  }
  absl::StrAppend(&marks_, "<path class=\"line ", style, "\" d=\"", path, "\"/>\n");
  for (size_t i = 0; marks && i < points.size(); ++i) {
    absl::StrAppendFormat(&marks_, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\">",
                          style, X(points[i].first), Y(points[i].second));
    if (i < titles.size()) absl::StrAppend(&marks_, "<title>", Escape(titles[i]), "</title>");
    marks_ += "</circle>\n";
  }
}

void Chart::AddBar(double left, double right, double value, const std::string& title) {
  const double x = X(left);
  const double gap = X(right) - x > 3 ? 1 : 0;
  absl::StrAppendFormat(&marks_,
                        "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">"
                        "<title>%s</title></rect>\n",
                        x, Y(value), std::max(0.5, X(right) - x - gap), Y(y_.low) - Y(value),
                        Escape(title));
}

void Chart::AddHorizontal(double y, const std::string& text) {
  if (y < y_.low || y > y_.high) return;
  absl::StrAppendFormat(
      &marks_,
      "<path class=\"limit\" d=\"M%.1f %.1fH%.1f\"/>"
      "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"start\">%s</text>\n",
      kLeft, Y(y), kWidth - kRight, kLeft + 4, Y(y) - 5, Escape(text));
}

void Chart::AddVertical(double x, const std::string& text) {
  if (x < x_.low || x > x_.high) return;
  const bool flip = Fraction(x_, x) > 0.85;
  absl::StrAppendFormat(&marks_,
                        "<path class=\"limit\" d=\"M%.1f %.1fV%.1f\"/>"
                        "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
                        X(x), kTop, kHeight - kBottom, X(x) + (flip ? -4 : 4), kTop + 10,
                        flip ? "end" : "start", Escape(text));
}

std::string Chart::Render(const std::string& description) const {
  std::string svg =
      absl::StrFormat("<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n", kWidth,
                      kHeight, Escape(description));
  for (const double tick : Ticks(y_.low, y_.high, y_.logarithmic)) {
    absl::StrAppendFormat(&svg,
                          "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>"
                          "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                          kLeft, Y(tick), kWidth - kRight, kLeft - 8, Y(tick) + 4,
                          NumberText(tick));
  }
  for (const double tick : Ticks(x_.low, x_.high, x_.logarithmic)) {
    absl::StrAppendFormat(&svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                          X(tick), kHeight - kBottom + 18, NumberText(tick));
  }
  absl::StrAppendFormat(&svg,
                        "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>"
                        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>"
                        "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                        kLeft, kHeight - kBottom, kWidth - kRight, kWidth - kRight, kHeight - 8,
                        Escape(x_.label), 4.0, 14.0, Escape(y_.label));
  return absl::StrCat(svg, marks_, "</svg>\n");
}

}  // namespace pixpool::bench
