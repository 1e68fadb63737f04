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
  const bool transposed = SwapsAxes(orientation);
  Image upright =
      transposed ? Image(image.height(), image.width()) : Image(image.width(), image.height());
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

}  // namespace pixpool
