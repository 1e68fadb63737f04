#include <opencv2/core.hpp>
#include <utility>

#include "server/image/decode.h"

namespace pixpool {
namespace {

cv::Mat View(Image& image) {
  return cv::Mat(image.height(), image.width(), CV_8UC3, image.data(), image.stride());
}

}  // namespace

Image ApplyOrientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8 || image.empty()) return image;
  const Size stored = image.whole();
  const Size whole = SwapsAxes(orientation) ? Size{stored.height, stored.width} : stored;
  Image upright(OrientRegion(image.part(), stored, orientation), whole);
  const cv::Mat from = View(image);
  cv::Mat to = View(upright);  // right size and type: OpenCV writes into it, never reallocates
  switch (orientation) {
    case 2:
      cv::flip(from, to, 1);
      break;
    case 3:
      cv::flip(from, to, -1);
      break;
    case 4:
      cv::flip(from, to, 0);
      break;
    case 5:
      cv::transpose(from, to);
      break;
    case 6:
      cv::rotate(from, to, cv::ROTATE_90_CLOCKWISE);
      break;
    case 7:
      cv::transpose(from, to);
      cv::flip(to, to, -1);
      break;
    case 8:
      cv::rotate(from, to, cv::ROTATE_90_COUNTERCLOCKWISE);
      break;
  }
  return upright;
}

Region OrientRegion(const Region& part, Size stored, int orientation) {
  const int right = stored.width - part.right();     // from the right edge
  const int bottom = stored.height - part.bottom();  // from the lower edge
  switch (orientation) {
    case 2:
      return {right, part.top, part.width, part.height};
    case 3:
      return {right, bottom, part.width, part.height};
    case 4:
      return {part.left, bottom, part.width, part.height};
    case 5:
      return {part.top, part.left, part.height, part.width};
    case 6:
      return {bottom, part.left, part.height, part.width};
    case 7:
      return {bottom, right, part.height, part.width};
    case 8:
      return {part.top, right, part.height, part.width};
    default:
      return part;
  }
}

}  // namespace pixpool
