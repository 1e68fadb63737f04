// Two functions of dav1d's in front of its own: the dynamic linker prefers those of the program.
// libavif, which calls them, has no option for either.
#include "server/image/avif_dav1d.h"

#ifdef PIXPOOL_HAS_AVIF
#include <dav1d/dav1d.h>
#include <dlfcn.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace {

// A picture is one frame, or has as many layers. Frames that are never shown may come before it,
// and each costs what a picture costs.
constexpr int kMostFrames = 8;

// dav1d's own function.
template <typename Function>
Function* Original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// The frames in a sequence of OBUs, the units of AV1 (its specification, 5.3). Stops where there is
// none, which is for dav1d to find.
int CountFrames(const uint8_t* data, size_t size) {
  constexpr int kFrameHeader = 3;
  constexpr int kFrame = 6;
  int frames = 0;
  size_t at = 0;
  while (at < size) {
    const int header = data[at];
    const int type = header >> 3 & 15;
    at += (header & 4) != 0 ? 2 : 1;
    uint64_t length = at < size ? size - at : 0;
    if ((header & 2) != 0) {
      length = 0;
      for (int i = 0; i < 8 && at < size; ++i) {
        const uint64_t byte = data[at++];
        length |= (byte & 127) << (7 * i);
        if (byte < 128) break;
      }
    }
    if (type == kFrameHeader || type == kFrame) ++frames;
    if (at > size || length > size - at) break;
    at += static_cast<size_t>(length);
  }
  return frames;
}

}  // namespace

extern "C" {

// Before 1.0 libavif leaves dav1d its logger, which writes what is wrong with a picture to standard
// error, between the lines of our log.
__attribute__((visibility("default"))) void dav1d_default_settings(Dav1dSettings* s) {
  static const auto original = Original<void(Dav1dSettings*)>("dav1d_default_settings");
  if (original == nullptr) return;
  original(s);
  s->logger.callback = nullptr;
}

__attribute__((visibility("default"))) int dav1d_send_data(Dav1dContext* c, Dav1dData* in) {
  static const auto original = Original<int(Dav1dContext*, Dav1dData*)>("dav1d_send_data");
  if (original == nullptr) return DAV1D_ERR(ENOSYS);
  if (in->data != nullptr && CountFrames(in->data, in->sz) > kMostFrames) {
    return DAV1D_ERR(EINVAL);
  }
  return original(c, in);
}

}  // extern "C"

bool pixpool::Dav1dIsBounded() {
  static const bool bounded =
      dlsym(RTLD_DEFAULT, "dav1d_send_data") == reinterpret_cast<void*>(&::dav1d_send_data);
  return bounded;
}
#endif
