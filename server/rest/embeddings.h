// POST /v1/embeddings: OpenAI's form of embeddings, with pictures in place of texts.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/pipeline/options.h"
#include "server/rest/answer.h"
#include "server/rest/head.h"
#include "server/rest/work.h"

namespace pixpool::rest {

// What is wrong with a request by its head alone.
std::optional<Answer> CheckEmbeddingsHead(const RequestHead& head);

// Reads a request. `input` is a data URI of a picture, an object whose member `image` is one or
// base64, or a list of these; in place of it `messages` have parts of the type image_url. `model`
// is NAME or NAME/HEAD; without a head it is global_avg:l2, since vectors of this API have length
// 1. Errors have the path of the field; what has an address elsewhere is refused.
absl::StatusOr<Work> EmbeddingsWork(std::shared_ptr<const std::string> body,
                                    const PipelineOptions& options);

}  // namespace pixpool::rest
