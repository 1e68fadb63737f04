// A file as it was when a model was loaded. Internal to server/backbone.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace pixpool {

// Keeps a file open, so that it can be read again when it has been removed or another one is at its
// path. What is written over it in place is noticed by its size and its time. Thread-safe.
class KeptFile {
 public:
  // Throws std::runtime_error, here and below.
  explicit KeptFile(const std::string& path);
  ~KeptFile();

  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  size_t size() const { return static_cast<size_t>(first_.st_size); }

  // Reads all of it, size() bytes. Not where it is another one by now.
  void Read(uint8_t* to) const;
  std::string Text() const;

 private:
  const std::string path_;
  const int file_;
  struct stat first_ {};
};

}  // namespace pixpool
