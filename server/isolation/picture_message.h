// A picture's task and what came of it, on their way between the server and a worker. Of what a
// worker says nothing is believed: where things lie and how large they are follows from the task.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/input/picture_inputs.h"
#include "server/isolation/shared_bytes.h"

namespace pixpool {

// Where a task's file and what is made of it lie in the shared memory, which begins with the file.
struct PictureLayout {
  struct Place {
    Size size;
    size_t offset = 0;
  };
  std::vector<Place> inputs;     // in the order of PictureInputs::inputs
  std::optional<Place> picture;  // where it is kept
  size_t end = 0;                // of all
};

// Errors: NetworkInputSize's.
absl::StatusOr<PictureLayout> LayOut(const PictureTask& task);

// All of a task but its bytes, and back; `file` is where they lie. nullopt for what is no task.
std::string WriteTask(const PictureTask& task);
std::optional<PictureTask> ReadTask(std::string_view message, const uint8_t* file, size_t size);

// In the worker: does a task and puts what comes of it where it belongs. Throws nothing.
std::string AnswerPicture(std::string_view message, SharedBytes* memory);

// The answer where there was no memory to make one. Allocates nothing.
std::string AnswerNoMemory();

// In the server: what a reply says, with the pixels copied out of the memory. An error of
// MakeInputs is a status in the second; nullopt for what is no reply.
std::optional<absl::StatusOr<PictureInputs>> ReadReply(std::string_view reply,
                                                       const PictureLayout& layout,
                                                       SharedBytes* memory);

}  // namespace pixpool
