#include "server/isolation/picture_message.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/isolation/archive.h"

namespace pixpool {
namespace {

constexpr size_t kAlignment = 64;
// Of a text in a reply, so that it fits a message.
constexpr size_t kMaxText = 2048;
constexpr uint32_t kMaxTexts = 16;

enum class ReplyKind : uint8_t { kInputs, kError, kNoMemory };

// Each names all members of its struct: one that is added and not named does not compile.
template <typename Archive, typename Task>
void Fields(Archive& archive, uint64_t& size, Task& task) {
  auto& [bytes, header, is_raw, plan, refuse_damaged, keep_picture, regions, whole] = task;
  auto& [format, width, height, orientation, decode_bytes, decoded, is_always_turned] = header;
  archive(size, is_raw, refuse_damaged, keep_picture, regions, whole, format, width, height,
          orientation, decode_bytes, decoded.width, decoded.height, is_always_turned);
  auto& [resize, resize_size, interpolation, crop, plan_height, plan_width, exact_height,
         exact_width, apply_exif, scaled_decode, background, scales, flip, grey, min_side, sizes,
         scale] = plan;
  archive(resize, resize_size, interpolation, crop, plan_height, plan_width, exact_height,
          exact_width, apply_exif, scaled_decode, scales, flip, grey, min_side, sizes.only,
          sizes.multiple, scale);
  bool has_background = background.has_value();
  archive(has_background);
  if (!has_background) return;
  if constexpr (!std::is_const_v<Task>) background.emplace();
  for (auto& level : *background) archive(level);
}

// What a worker says reaches clients and the log.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

std::string Short(std::string_view text) { return std::string(text.substr(0, kMaxText)); }

std::string WriteError(const absl::Status& status) {
  const ErrorDetails details = GetErrorDetails(status).value_or(ErrorDetails());
  std::vector<std::pair<std::string, std::string>> metadata = details.metadata;
  metadata.resize(std::min<size_t>(metadata.size(), kMaxTexts));
  for (auto& [name, value] : metadata) {
    name = Short(name);
    value = Short(value);
  }
  ArchiveWriter writer;
  writer(ReplyKind::kError, static_cast<int>(details.reason), Short(ToStd(status.message())),
         Short(details.field), metadata, absl::ToInt64Milliseconds(details.retry_after));
  return writer.Take();
}

// What MakeInputs says of a picture.
bool MayBeOfPicture(ErrorReason reason) {
  switch (reason) {
    case ErrorReason::kImageUndecodable:
    case ErrorReason::kImageUnsupportedFormat:
    case ErrorReason::kLimitExceeded:
    case ErrorReason::kRequestInvalid:
    case ErrorReason::kOverloaded:
    case ErrorReason::kInferenceFailed:
      return true;
    default:
      return false;
  }
}

std::optional<absl::Status> ReadError(ArchiveReader& reader) {
  int reason = 0;
  std::string message;
  std::vector<std::pair<std::string, std::string>> metadata;
  ErrorDetails details;
  int64_t retry_ms = 0;
  reader(reason, message, details.field, metadata, retry_ms);
  details.reason = static_cast<ErrorReason>(reason);
  if (!reader.done() || !MayBeOfPicture(details.reason)) return std::nullopt;
  details.field = Printable(details.field);
  for (auto& [name, value] : metadata) {
    details.metadata.emplace_back(Printable(name), Printable(value));
  }
  details.retry_after = absl::Milliseconds(std::clamp<int64_t>(retry_ms, 0, 60'000));
  return MakeError(details, Printable(message));
}

std::string WriteInputs(const PictureInputs& made) {
  // The pixels are in the shared memory.
  const auto& [inputs, picture, damages, has_hidden_colors, decode, preprocess] = made;
  std::vector<std::pair<int, std::string>> texts;
  for (const Damage& damage : damages) {
    texts.emplace_back(static_cast<int>(damage.kind), Short(damage.detail));
  }
  ArchiveWriter writer;
  writer(ReplyKind::kInputs, decode.count(), preprocess.count(), has_hidden_colors, texts);
  return writer.Take();
}

// All but the pixels.
std::optional<PictureInputs> ReadInputs(ArchiveReader& reader) {
  TimeDuration::rep decode = 0;
  TimeDuration::rep preprocess = 0;
  std::vector<std::pair<int, std::string>> damages;
  PictureInputs made;
  reader(decode, preprocess, made.has_hidden_colors, damages);
  if (!reader.done()) return std::nullopt;
  made.decode_time = TimeDuration(decode);
  made.preprocess_time = TimeDuration(preprocess);
  for (const auto& [kind, detail] : damages) {
    if (kind < 0 || kind >= kDamageKindCount) return std::nullopt;
    made.damages.Add(static_cast<DamageKind>(kind), Printable(detail));
  }
  return made;
}

bool Put(const Image& image, const PictureLayout::Place& place, SharedBytes* memory) {
  if (Size{image.width(), image.height()} != place.size) return false;
  std::memcpy(memory->data() + place.offset, image.data(), image.byte_size());
  return true;
}

Image Get(const PictureLayout::Place& place, SharedBytes* memory) {
  Image image(place.size.width, place.size.height);
  std::memcpy(image.data(), memory->data() + place.offset, image.byte_size());
  return image;
}

absl::StatusOr<std::string> MakeReply(std::string_view message, SharedBytes* memory) {
  const std::optional<PictureTask> task = ReadTask(message, memory->data(), memory->size());
  if (!task) return absl::InternalError("not a task");
  PIXPOOL_ASSIGN_OR_RETURN(const PictureLayout layout, LayOut(*task));
  if (layout.end > memory->size()) return absl::InternalError("no room for the inputs");
  PIXPOOL_ASSIGN_OR_RETURN(const PictureInputs made, MakeInputs(*task, *Clock::Real()));
  bool put = made.inputs.size() == layout.inputs.size();
  for (size_t i = 0; put && i < made.inputs.size(); ++i) {
    put = Put(made.inputs[i], layout.inputs[i], memory);
  }
  if (put && layout.picture) put = Put(made.picture, *layout.picture, memory);
  if (!put) return absl::InternalError("inputs of another size than planned");
  return WriteInputs(made);
}

}  // namespace

absl::StatusOr<PictureLayout> LayOut(const PictureTask& task) {
  const Size full = UprightSize(task.header, task.plan.apply_exif);
  PictureLayout layout;
  layout.end = task.bytes.size();
  const auto place = [&layout](Size size) {
    const size_t offset = (layout.end + kAlignment - 1) / kAlignment * kAlignment;
    layout.end = offset + static_cast<size_t>(size.width) * static_cast<size_t>(size.height) * 3;
    return PictureLayout::Place{size, offset};
  };
  std::vector<Size> pictures;
  if (task.whole) pictures.push_back(full);
  for (const Region& region : task.regions) pictures.push_back({region.width, region.height});
  for (const Size picture : pictures) {
    for (const InputPass& pass : PassesOf(task.plan)) {
      PIXPOOL_ASSIGN_OR_RETURN(const Size size,
                               NetworkInputSize(ScaledPlan(task.plan, pass.scale), picture,
                                                std::numeric_limits<int>::max()));
      layout.inputs.push_back(place(size));
    }
  }
  if (task.keep_picture) layout.picture = place(full);
  return layout;
}

std::string WriteTask(const PictureTask& task) {
  ArchiveWriter writer;
  uint64_t size = task.bytes.size();
  Fields(writer, size, task);
  return writer.Take();
}

std::optional<PictureTask> ReadTask(std::string_view message, const uint8_t* file, size_t size) {
  ArchiveReader reader(message);
  uint64_t bytes = 0;
  PictureTask task;
  Fields(reader, bytes, task);
  if (!reader.done() || bytes > size) return std::nullopt;
  const Size full = UprightSize(task.header, task.plan.apply_exif);
  const auto within = [full](const Region& region) {
    return region.left >= 0 && region.top >= 0 && region.width > 0 && region.height > 0 &&
           region.width <= full.width - region.left && region.height <= full.height - region.top;
  };
  if (!std::all_of(task.regions.begin(), task.regions.end(), within)) return std::nullopt;
  task.bytes = {reinterpret_cast<const char*>(file), static_cast<size_t>(bytes)};
  return task;
}

std::string AnswerPicture(std::string_view message, SharedBytes* memory) {
  try {
    const absl::StatusOr<std::string> reply = MakeReply(message, memory);
    return reply.ok() ? *reply : WriteError(reply.status());
  } catch (const std::exception&) {  // bad_alloc, or what a library makes of it
  }
  return AnswerNoMemory();
}

std::string AnswerNoMemory() { return {static_cast<char>(ReplyKind::kNoMemory)}; }

std::optional<absl::StatusOr<PictureInputs>> ReadReply(std::string_view reply,
                                                       const PictureLayout& layout,
                                                       SharedBytes* memory) {
  ArchiveReader reader(reply);
  ReplyKind kind = ReplyKind::kError;
  reader(kind);
  if (!reader.ok()) return std::nullopt;
  switch (kind) {
    case ReplyKind::kNoMemory:
      return NoMemoryError();
    case ReplyKind::kError: {
      const std::optional<absl::Status> error = ReadError(reader);
      if (!error) return std::nullopt;
      return *error;
    }
    case ReplyKind::kInputs:
      break;
    default:
      return std::nullopt;
  }
  std::optional<PictureInputs> made = ReadInputs(reader);
  if (!made) return std::nullopt;
  for (const PictureLayout::Place& place : layout.inputs) {
    made->inputs.push_back(Get(place, memory));
  }
  if (layout.picture) made->picture = Get(*layout.picture, memory);
  return *std::move(made);
}

}  // namespace pixpool
