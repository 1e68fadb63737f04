// A file as it was when a model was loaded. Internal to server/backbone.
#pragma once

#include <cstddef>
#include <string>

namespace pixpool {

// A file's content in memory of its own, read once. What becomes of the file later, removed,
// replaced or written over, changes nothing here: of a mapped file it would change weights while
// they serve, and a file that is cut off ends the process. Thread-safe.
class KeptFile {
 public:
  // Throws std::runtime_error, or std::bad_alloc.
  explicit KeptFile(const std::string& path);
  ~KeptFile();

  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  size_t size() const { return size_; }
  char* data() const { return data_; }
  std::string Text() const { return std::string(data_, size_); }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace pixpool
