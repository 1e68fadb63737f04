// A file as it was when a model was loaded. Internal to server/backbone.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>

namespace pixpool {

// Maps a file into memory, where it stays when it has been removed or another one is at its path.
// What is written over it in place changes what is mapped, which Check notices by size and time;
// where that makes it shorter, what lies beyond must not be read. Thread-safe.
class KeptFile {
 public:
  // Throws std::runtime_error.
  explicit KeptFile(const std::string& path);
  ~KeptFile();

  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  size_t size() const { return static_cast<size_t>(first_.st_size); }

  const char* data() const { return data_; }
  std::string Text() const { return std::string(data_, size()); }

  // Throws where it has been written over.
  void Check() const;

 private:
  const std::string path_;
  const int file_;
  struct stat first_ {};
  char* data_ = nullptr;
};

}  // namespace pixpool
