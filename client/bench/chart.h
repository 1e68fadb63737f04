// Line and bar charts as SVG. Written here and not by matplotlib, as bench/ has it: the page of
// --html comes from a program without Python, and its charts take the page's styles.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pixpool::bench {

// One chart. Styles are the page's: lines have the classes "line" and their own, bars "bar", the
// grid "grid". Values are to be finite. A <title> in each mark shows its value under the pointer.
class Chart {
 public:
  struct Axis {
    std::string label;
    double low = 0;
    double high = 1;
    bool logarithmic = false;  // then low is above 0
  };
  using Points = std::vector<std::pair<double, double>>;

  Chart(Axis x, Axis y);

  // `style`: a class of the page, such as "s1". With `marks`, points are drawn too, each with its
  // title from `titles` where there are any.
  void AddLine(const Points& points, const std::string& style, bool marks = false,
               const std::vector<std::string>& titles = {});
  void AddBar(double left, double right, double value, const std::string& title);
  // A dashed line over the whole width or height, with a text.
  void AddHorizontal(double y, const std::string& text);
  void AddVertical(double x, const std::string& text);

  // `description` is for people who do not see the drawing.
  std::string Render(const std::string& description) const;

 private:
  double X(double value) const;
  double Y(double value) const;

  Axis x_;
  Axis y_;
  std::string marks_;
};

// Round values within [low, high] for an axis; at least two.
std::vector<double> Ticks(double low, double high, bool logarithmic);

// A number as a label: "0.25", "120", "1500".
std::string NumberText(double value);

// Text inside of HTML.
std::string Escape(const std::string& text);

}  // namespace pixpool::bench
