#include "server/base/memory.h"

#include <algorithm>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace pixpool {
namespace {

// Chosen by measurement, docs/performance.md. As it comes, glibc maps every block over 32 MiB anew
// and returns it: a picture of 12 megapixels then pays 9,000 page faults, a quarter of its time.
constexpr int64_t kHeapKeeps = 256 << 20;
// Where memory is short the heap keeps less of it, but still such a picture.
constexpr int64_t kHeapKeepsAtLeast = 48 << 20;
constexpr int64_t kShareOfMemory = 16;

int64_t heap_keeps = kHeapKeeps;  // constant once there are threads

}  // namespace

void BoundLibraryCaches() {
  // oneDNN's primitives, machine code of 0.1 MB each: OpenVINO's copy of it and LibTorch's keep
  // 1,024 each as they come. A large network has some 300 different ones at a size.
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "512", /*overwrite=*/0);
}

int64_t HeapKeeps() { return heap_keeps; }

#ifdef __GLIBC__

void TuneAllocator(int cores, int64_t memory) {
  if (memory > 0) {
    heap_keeps = std::clamp(memory / kShareOfMemory, kHeapKeepsAtLeast, kHeapKeeps);
  }
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(heap_keeps));
  mallopt(M_TRIM_THRESHOLD, static_cast<int>(heap_keeps));
  // An arena a thread would keep as much again for each of gRPC's many threads.
  if (std::getenv("MALLOC_ARENA_MAX") == nullptr) mallopt(M_ARENA_MAX, std::max(2, cores));
}

int64_t HeapBytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

void ReturnFreeMemory() { malloc_trim(0); }

#else

void TuneAllocator(int, int64_t) {}
int64_t HeapBytesInUse() { return 0; }
void ReturnFreeMemory() {}

#endif

}  // namespace pixpool
