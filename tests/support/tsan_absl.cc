// Tells ThreadSanitizer about absl's locks. The absl libraries of a distribution are not
// instrumented, so without this every variable that an absl::Mutex guards would look like a race.
// Built as a library of its own and put in front of absl with LD_PRELOAD (see ./test tsan), its
// functions are called in place of absl's, call those, and report what they order; since gRPC locks
// with the same functions, hand-overs inside gRPC are seen as well.
#include <dlfcn.h>

#include <cstring>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

extern "C" {
// ThreadSanitizer's runtime; absent in programs that are not instrumented, such as ctest.
[[gnu::weak]] void __tsan_acquire(void* address);
[[gnu::weak]] void __tsan_release(void* address);
[[gnu::weak]] void AnnotateIgnoreReadsBegin(const char* file, int line);
[[gnu::weak]] void AnnotateIgnoreReadsEnd(const char* file, int line);
}

namespace {

void Acquire(const void* lock) {
  if (__tsan_acquire != nullptr) __tsan_acquire(const_cast<void*>(lock));
}

void Release(const void* lock) {
  if (__tsan_release != nullptr) __tsan_release(const_cast<void*>(lock));
}

// While absl's own function runs, it evaluates other threads' conditions under the lock; these
// reads are ordered by the lock, but not by what is reported here.
class IgnoreReads {
 public:
  IgnoreReads() {
    if (AnnotateIgnoreReadsBegin != nullptr) AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  }
  ~IgnoreReads() {
    if (AnnotateIgnoreReadsEnd != nullptr) AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

// The function that `kMember` would be without this library: the next one of the same symbol.
template <auto kMember>
void* Next() {
  auto member = kMember;
  void* here = nullptr;
  std::memcpy(&here, &member,
              sizeof(here));  // a pointer to a non-virtual member begins with the address
  Dl_info info = {};
  dladdr(here, &info);
  return dlsym(RTLD_NEXT, info.dli_sname);
}

template <auto kMember, typename Result = void, typename... Args>
Result CallNext(const void* self, Args... args) {
  static void* const next = Next<kMember>();
  IgnoreReads ignore;
  return reinterpret_cast<Result (*)(const void*, Args...)>(next)(self, args...);
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  CallNext<&Mutex::Lock>(this);
  Acquire(this);
}

void Mutex::Unlock() {
  Release(this);
  CallNext<&Mutex::Unlock>(this);
}

bool Mutex::TryLock() {
  const bool locked = CallNext<&Mutex::TryLock, bool>(this);
  if (locked) Acquire(this);
  return locked;
}

void Mutex::ReaderLock() {
  CallNext<&Mutex::ReaderLock>(this);
  Acquire(this);
}

void Mutex::ReaderUnlock() {
  Release(this);
  CallNext<&Mutex::ReaderUnlock>(this);
}

void Mutex::LockWhen(const Condition& condition) {
  CallNext<&Mutex::LockWhen, void, const Condition&>(this, condition);
  Acquire(this);
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  const bool result = CallNext<&Mutex::LockWhenWithTimeout, bool, const Condition&, Duration>(
      this, condition, timeout);
  Acquire(this);
  return result;
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  const bool result = CallNext<&Mutex::LockWhenWithDeadline, bool, const Condition&, Time>(
      this, condition, deadline);
  Acquire(this);
  return result;
}

void Mutex::Await(const Condition& condition) {
  Release(this);
  CallNext<&Mutex::Await, void, const Condition&>(this, condition);
  Acquire(this);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  Release(this);
  const bool result = CallNext<&Mutex::AwaitWithTimeout, bool, const Condition&, Duration>(
      this, condition, timeout);
  Acquire(this);
  return result;
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  Release(this);
  const bool result =
      CallNext<&Mutex::AwaitWithDeadline, bool, const Condition&, Time>(this, condition, deadline);
  Acquire(this);
  return result;
}

void CondVar::Wait(Mutex* mutex) {
  Release(mutex);
  CallNext<&CondVar::Wait, void, Mutex*>(this, mutex);
  Acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  Release(mutex);
  const bool result =
      CallNext<&CondVar::WaitWithTimeout, bool, Mutex*, Duration>(this, mutex, timeout);
  Acquire(mutex);
  return result;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  Release(mutex);
  const bool result =
      CallNext<&CondVar::WaitWithDeadline, bool, Mutex*, Time>(this, mutex, deadline);
  Acquire(mutex);
  return result;
}

void Notification::Notify() {
  Release(this);
  CallNext<&Notification::Notify>(this);
}

void Notification::WaitForNotification() const {
  CallNext<&Notification::WaitForNotification>(this);
  Acquire(this);
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  const bool notified =
      CallNext<&Notification::WaitForNotificationWithTimeout, bool, Duration>(this, timeout);
  if (notified) Acquire(this);
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  const bool notified =
      CallNext<&Notification::WaitForNotificationWithDeadline, bool, Time>(this, deadline);
  if (notified) Acquire(this);
  return notified;
}

bool BlockingCounter::DecrementCount() {
  Release(this);
  return CallNext<&BlockingCounter::DecrementCount, bool>(this);
}

void BlockingCounter::Wait() {
  CallNext<&BlockingCounter::Wait>(this);
  Acquire(this);
}

ABSL_NAMESPACE_END
}  // namespace absl
