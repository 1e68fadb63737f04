#include "tests/support/failing_allocator.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace {

// Of the allocations counted since it was set: those from first to last fail.
struct Plan {
  std::atomic<bool> armed{false};
  std::atomic<int64_t> seen{0};
  std::atomic<int64_t> first{0};
  std::atomic<int64_t> last{0};
  std::atomic<int64_t> failed{0};
};

constinit Plan plan;

// Whether the allocation that is being asked for is to fail.
bool Fails() {
  if (!plan.armed.load(std::memory_order_acquire)) return false;
  const int64_t number = plan.seen.fetch_add(1) + 1;
  if (number < plan.first.load() || number > plan.last.load()) return false;
  plan.failed.fetch_add(1);
  errno = ENOMEM;
  return true;
}

}  // namespace

namespace pixpool::testing {

void FailAllocations(int64_t number, int64_t in_a_row) {
  plan.seen.store(0);
  plan.failed.store(0);
  plan.first.store(number);
  plan.last.store(number + in_a_row - 1);
  plan.armed.store(true, std::memory_order_release);
}

int64_t StopFailing() {
  plan.armed.store(false);
  return plan.failed.load();
}

}  // namespace pixpool::testing

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

void* operator new(size_t size) {
  void* const memory = Fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* operator new(size_t size, std::align_val_t align) {
  const auto side = static_cast<size_t>(align);
  void* const memory =
      Fails() ? nullptr : std::aligned_alloc(side, (size + side - 1) / side * side);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

#else

// glibc's own, which are there for this.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t align, size_t size);

void* malloc(size_t size) { return Fails() ? nullptr : __libc_malloc(size); }

// Parameters are named as in glibc's headers.
void* calloc(size_t nmemb, size_t size) { return Fails() ? nullptr : __libc_calloc(nmemb, size); }

void* realloc(void* ptr, size_t size) { return Fails() ? nullptr : __libc_realloc(ptr, size); }

void* memalign(size_t alignment, size_t size) {
  return Fails() ? nullptr : __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** memptr, size_t alignment, size_t size) {
  void* const made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *memptr = made;
  return 0;
}
}

#endif
