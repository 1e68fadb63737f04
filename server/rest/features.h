// POST /v1/features: pictures and heads in, features out.
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

// In which form an answer is asked for.
enum class Format { kJson, kNpy, kFloats };

// What the values of Accept ask for most; nullopt: nothing that there is.
std::optional<Format> FormatOf(const std::vector<std::string_view>& accept);

// What is wrong with a request by its head alone, before its body is read: the type of the body,
// and what is to be answered.
std::optional<Answer> CheckFeaturesHead(const RequestHead& head);

// Reads a request: one picture as the body, or a form with several, whose fields may also stand in
// the query. Errors have the field's name as their field.
absl::StatusOr<Work> FeaturesWork(const RequestHead& head, std::shared_ptr<const std::string> body,
                                  const PipelineOptions& options);

// The heads of texts such as "gem:p=3,l2". Field paths start with "heads[i]".
absl::StatusOr<std::vector<HeadRequest>> HeadsFromTexts(const std::vector<std::string_view>& texts,
                                                        FlagNumber most);

}  // namespace pixpool::rest
