#include "tests/support/counting_allocator.h"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {

constinit std::atomic<int64_t> allocated{0};
constinit std::atomic<int64_t> peak{0};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void* Count(void* memory) {
  if (memory == nullptr) return nullptr;
  const auto size = static_cast<int64_t>(malloc_usable_size(memory));
  const int64_t now = allocated.fetch_add(size) + size;
  int64_t most = peak.load();
  while (now > most && !peak.compare_exchange_weak(most, now)) {
  }
  return memory;
}

void Uncount(void* memory) {
  if (memory != nullptr) allocated.fetch_sub(static_cast<int64_t>(malloc_usable_size(memory)));
}

#endif

}  // namespace

namespace pixpool::testing {

bool CountsAllocations() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

int64_t AllocatedBytes() { return allocated.load(); }
void ResetPeak() { peak.store(allocated.load()); }
int64_t PeakBytes() { return peak.load(); }

}  // namespace pixpool::testing

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

// glibc's own, which are there for this.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t align, size_t size);
void __libc_free(void* memory);

// Parameters are named as in glibc's headers.
void* malloc(size_t size) { return Count(__libc_malloc(size)); }
void* calloc(size_t nmemb, size_t size) { return Count(__libc_calloc(nmemb, size)); }

void* realloc(void* ptr, size_t size) {
  const auto before = ptr == nullptr ? 0 : static_cast<int64_t>(malloc_usable_size(ptr));
  void* const made = __libc_realloc(ptr, size);
  if (made == nullptr && size > 0) return nullptr;  // the old one is still there
  allocated.fetch_sub(before);
  return Count(made);
}

void* memalign(size_t alignment, size_t size) { return Count(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** memptr, size_t alignment, size_t size) {
  void* const made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *memptr = made;
  return 0;
}

void free(void* ptr) {
  Uncount(ptr);
  __libc_free(ptr);
}
}

#endif
